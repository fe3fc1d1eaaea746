// Prints what happens at a restaurant, each event once, as
//
//   <sequence> <type> <subject or -> <data>
//
// Usage: node consumer.js amqp://user:password@host/ <restaurant id> [exchange]
//
// The contract is persistence/rabbitmq/asyncapi.yaml.
import amqp from "amqplib";
import { CloudEvent } from "cloudevents";

const [url, restaurant, exchange = "maitred.events"] = process.argv.slice(2);
if (!restaurant) {
  console.error("usage: node consumer.js <broker's URL> <restaurant id> [exchange]");
  process.exit(2);
}

// event reads CloudEvents' binary mode: the attributes are headers, the body is the data.
function event({ properties, content }) {
  const attributes = {};
  for (const [name, value] of Object.entries(properties.headers)) {
    const [, attribute] = name.match(/^cloudEvents[_:](.+)$/) ?? [];
    if (attribute) attributes[attribute] = value;
  }
  const data = JSON.parse(content.toString("utf8"));
  return new CloudEvent({ ...attributes, datacontenttype: properties.contentType, data });
}

// A number that is still missing when so many later ones have come was dropped by the queue's bound, and will not come.
const maxAhead = 10_000;

// Once remembers which numbers of a restaurant it has seen: all below next, and those in ahead. A consumer that writes into a
// database keeps this there, in the transaction of what it writes.
class Once {
  next = 0n;
  ahead = new Set();

  // first says whether a number is seen for the first time. The first one of all is where the queue begins.
  first(sequence) {
    if (this.next === 0n) this.next = sequence;
    if (sequence < this.next || this.ahead.has(sequence)) return false;
    this.ahead.add(sequence);
    if (this.ahead.size > maxAhead) this.next = [...this.ahead].reduce((a, b) => (a < b ? a : b));
    while (this.ahead.delete(this.next)) this.next++;
    return true;
  }
}

const connection = await amqp.connect(url);
const channel = await connection.createChannel();
const queue = `example.${exchange}.${restaurant}`;
// One of several consumers gets the messages, so that they stay in their order. The bound is for the time when none runs:
// when it is passed, numbers are missing.
await channel.assertQueue(queue, {
  durable: true,
  arguments: { "x-queue-type": "quorum", "x-single-active-consumer": true, "x-max-length": 100_000 },
});
await channel.bindQueue(queue, exchange, `restaurant.${restaurant}.#`);
await channel.prefetch(100);

const once = new Once();
await channel.consume(queue, (message) => {
  if (message === null) {
    console.error("the queue was deleted");
    process.exit(1);
  }
  try {
    const e = event(message);
    if (once.first(BigInt(e.sequence))) {
      console.log(`${BigInt(e.sequence)} ${e.type} ${e.subject ?? "-"} ${JSON.stringify(e.data)}`);
    }
    channel.ack(message);
  } catch (err) {
    console.error(`not an event of maitred: ${err.message}`);
    channel.reject(message, false);
  }
});
connection.on("close", () => process.exit(1)); // whoever runs this starts it again
process.on("SIGTERM", () => process.exit(0));
console.error("ready");
