// One answer through npm's `eventsource`, which does what a browser's EventSource does, and lets
// the request be a POST:
//
//   node eventsource.mjs URL BODY
//
// Prints what it was told, as a JSON array of {"event", "data"}.
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
    // An `error` without data is EventSource's own: no connection, or one that ended.
    events.push(data === undefined ? { event: "failed", data: message } : { event, data: JSON.parse(data) });
    // It would ask again, as the standard has it.
    if (event === "done" || event === "error") {
      source.close();
      console.log(JSON.stringify(events));
    }
  });
}
