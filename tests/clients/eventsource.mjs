// Requests a streamed reply with npm's `eventsource`, which behaves as a browser's EventSource
// does, and also allows a POST:
//
//   node eventsource.mjs URL BODY
//
// Prints the events, as a JSON array of {"event", "data"}.
import { EventSource } from "eventsource";

const [url, body] = process.argv.slice(2);

const source = new EventSource(url, {
  fetch: (url, init) => {
    const headers = { ...init.headers, "content-type": "application/json" };
    return fetch(url, { ...init, method: "POST", headers, body });
  },
});

const events = [];
for (const event of ["start", "delta", "done", "error"]) {
  source.addEventListener(event, ({ data, message }) => {
    // EventSource itself fires `error` without data when the connection fails or ends.
    events.push(data === undefined ? { event: "failed", data: message } : { event, data: JSON.parse(data) });
    // By the standard, EventSource would reconnect.
    if (event === "done" || event === "error") {
      source.close();
      console.log(JSON.stringify(events));
    }
  });
}
