// Reads an iCalendar file as a calendar would, with a parser that knows nothing of maitred, and prints its one event as JSON.
import { readFileSync } from "node:fs";
import ICAL from "ical.js";

const calendar = new ICAL.Component(ICAL.parse(readFileSync(process.argv[2], "utf8")));
const events = calendar.getAllSubcomponents("vevent");
if (events.length !== 1) throw new Error(`${events.length} events`);
const event = new ICAL.Event(events[0]);
const instant = (time) => time.toJSDate().toISOString().replace(".000Z", "Z");
console.log(
  JSON.stringify({
    method: calendar.getFirstPropertyValue("method"),
    uid: event.uid,
    sequence: event.sequence,
    status: events[0].getFirstPropertyValue("status"),
    start: instant(event.startDate),
    end: instant(event.endDate),
    summary: event.summary,
    location: event.location,
    description: event.description,
    geo: events[0].getFirstPropertyValue("geo"),
  }),
);
