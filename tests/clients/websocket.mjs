// Sends prompts with Node.js's WebSocket, which has the API of a browser's:
//
//   node websocket.mjs URL PROMPT...
//
// Sends all prompts at once. Prints the events, as a JSON array of {"event", "data"}.
const [url, ...prompts] = process.argv.slice(2);

const events = [];
let pending = prompts.length;
const socket = new WebSocket(url);

socket.addEventListener("open", () => {
  for (const prompt of prompts) socket.send(JSON.stringify({ prompt }));
});
socket.addEventListener("message", ({ data }) => {
  const message = JSON.parse(data);
  events.push(message);
  if (message.event === "done" || message.event === "error") pending -= 1;
  if (pending === 0) socket.close(1000);
});
socket.addEventListener("close", ({ code }) => {
  if (pending > 0 || code !== 1000) events.push({ event: "failed", data: code });
  console.log(JSON.stringify(events));
});
