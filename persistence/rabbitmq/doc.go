// Package rabbitmq publishes the events of restaurants to RabbitMQ, for other teams and for mail. Nothing in maitred waits for
// the broker: while it is away the cursor stays, and what was missed is published when it is back. What a consumer may rely
// on is written below for people and in asyncapi.yaml for programs; deploy/examples/consumer is a consumer.
//
// # Exchange and routing keys
//
// One durable topic exchange, maitred.events (Config.Prefix replaces "maitred"). The routing key is
//
//	restaurant.<restaurant id>.<event>
//
// where event is one of
//
//	restaurant_created   restaurant_changed
//	table_added          table_changed            table_removed
//	staff_set            staff_removed
//	reservation_created  reservation_rescheduled  reservation_<status>, when the status has changed: held, pending, confirmed,
//	                                              declined, seated, completed, no_show, cancelled, expired
//	reservation_offered  reservation_reminded     reservation_not_reminded
//	review_added         guest_forgotten
//
// A consumer declares a durable queue of its own, with a bound (x-max-length, x-overflow drop-head), and binds it: to
// restaurant.<id>.# for a restaurant, to restaurant.*.reservation_cancelled for an event. All events of restaurants are
// published, none of accounts: what others have to know of those is guest_forgotten, at each restaurant that knew the guest.
//
// # Messages
//
// A message is a CloudEvent 1.0 in binary mode: the attributes are headers with the prefix cloudEvents_, the body is the data
// as JSON. The binding for AMQP allows cloudEvents_ and cloudEvents: and prefers the former, which JMS selectors and property
// names of most languages can spell; a consumer should accept both. The npm package cloudevents has no AMQP: strip the
// prefix and give it the rest, as the example does.
//
//	header                   property      value
//	cloudEvents_specversion                1.0
//	cloudEvents_id           message-id    <restaurant id>/<number>, the same in each duplicate
//	cloudEvents_source                     /restaurants/<restaurant id>
//	cloudEvents_type         type          maitred.<event>.v1
//	cloudEvents_subject                    id of the reservation, table, review or user; absent for events of the restaurant itself
//	cloudEvents_time         timestamp     when it was decided, RFC 3339 in UTC to the millisecond; the property has seconds
//	cloudEvents_sequence                   the number in 20 digits: strings and numbers have the same order
//	                         content-type  application/json
//	                         app-id        maitred
//	                         delivery-mode 2, persistent
//
// # Data
//
// Names are those of the HTTP API where it has them. by_role says who did it: customer, owner, manager, host, admin, system
// (a timer of maitred); it is absent when that is not known. Times are RFC 3339 in UTC.
//
//	restaurant_created, restaurant_changed  id owner_id name address city country cuisine_type description phone email
//	                                        time_zone latitude longitude opening_hours[days open close last_seating]
//	table_added, table_changed              id restaurant_id table_number capacity min_capacity location is_available
//	table_removed                           id restaurant_id
//	staff_set                               restaurant_id user_id role since
//	staff_removed, guest_forgotten          restaurant_id user_id
//	reservation_created                     id restaurant_id user_id (absent: written in by staff) table_ids service_date
//	                                        local_minutes starts_at ends_at guests_count status
//	reservation_rescheduled                 id restaurant_id table_ids service_date local_minutes starts_at ends_at guests_count
//	reservation_<status>                    id restaurant_id status reason (of maitred's own timers only)
//	reservation_offered                     as reservation_rescheduled, and hold_until: a party of the waitlist has a table until then
//	reservation_reminded                    id restaurant_id lead_minutes: the guest is to be reminded now, once for each lead
//	reservation_not_reminded                the same with 0: the start was past already, nobody is to be written to
//	review_added                            id restaurant_id reservation_id rating
//
// There is nothing personal in a message: no contact, request, comment or reason that a person wrote. user_id is the opaque id
// of an account. Who needs more asks the HTTP API, which also knows what was erased since. On guest_forgotten a consumer
// forgets the user_id at this restaurant and whatever it has keyed by it.
//
// Properties, headers and events may be added; ignore unknown ones. What changes its meaning gets a new type, .v2.
//
// # Guarantees
//
//   - At least once: the cursor moves after the broker has confirmed every message, which it does when all queues that the
//     message goes to have it on disk (quorum queues: on a majority of disks).
//   - Duplicates have the same id, the same headers and the same body. They come after a broken connection, a restart, while
//     two nodes carry the sink for a moment, and when an operator puts the cursor back; then old numbers come again, in order.
//   - Order: within a queue the events of one restaurant come for the first time in the order of their numbers. There are two
//     exceptions, both of the broker's making: a message that the broker nacked alone comes after the ones behind it, and one
//     that a consumer returned comes again later. There is no order between restaurants, nor between queues.
//   - sequence counts the events of a restaurant from 1 without a gap. A consumer that is bound to restaurant.<id>.# drops
//     what it has had by remembering one number, and sees what is missing; one that gets only some events drops by id, or by
//     number if it can live with the exceptions above.
//
// An event of a newer build stops a sink of an older one (ErrUnknownEvent): leaving it out would lose it for everybody.
//
// A queue that does not confirm stops the sink for everybody, as the cursor is one: one whose overflow is reject-publish when
// it is full, a quorum queue without its majority. The projector's state and the sink's error name the message; unbind or
// delete the queue. With RabbitMQ 3.10 this was also seen of a quorum queue that was declared just before its node was
// killed: it takes messages and never confirms. After deleting it, the sink declares its own anew with its next connection.
//
// # What the sink declares
//
// At each connect: the exchange above and, all durable and bounded,
//
//	maitred.mail.urgent  queue for mail: reservation_cancelled, _rescheduled, _confirmed, _declined, _expired
//	maitred.mail         queue for mail: the other reservation_ events
//	maitred.dead         fanout exchange and queue: what the mail queues drop, or is rejected there, or was delivered too often
//	maitred.unrouted     fanout exchange and queue, the alternate of maitred.events: events that no queue is bound to
//
// Mail has two queues as the quorum queues of RabbitMQ 3.10 know no priorities. Each queue holds Config.QueueBound messages
// (100,000, about 100 MB of disk; maitred.unrouted at most 1,000), and drops the oldest one when it is full: a mail worker that
// never comes fills neither the broker nor, as reject-publish would, stops the sink. The mail queues drop into maitred.dead,
// which forgets what is too much. Dropping is at most once: a message may be lost between the queues when the broker crashes.
//
// Messages are mandatory. As maitred.unrouted takes what nobody wants, one is returned only when somebody has deleted or
// unbound that queue: Write fails with ErrReturned, the connection is made anew, and with it the queue.
//
// The type of the queues is a setting (quorum; classic for a broker of one node). A broker does not change the type or the
// bounds of a queue that is there: connecting fails with its words until somebody deletes the queue, or the setting is put back.
//
// # Losing the connection
//
// After any error the connection is dropped, and the next call makes a new one; the projector calls again, with back-off. The
// Recovery of the client library is not used: it can bring back connection and queues, but not what became of the messages
// on their way. It nacks those, so the batch is published again from the cursor in any case, and a new connection for that is
// simpler than one that repairs itself behind our back, a number of times, and then gives up. The library's calls have no
// limit of time of their own: the sink cuts the connection under them.
package rabbitmq
