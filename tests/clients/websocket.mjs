// Prompts through Node's own WebSocket, which is a browser's:
//
//   node websocket.mjs URL PROMPT...
//
// All are sent at once. Prints what it was told, as a JSON array of {"event", "data"}.
const [url, ...prompts] = process.argv.slice(2);

const events = [];
let left = prompts.length;
const socket = new WebSocket(url);

socket.addEventListener("open", () => {
  for (const prompt of prompts) socket.send(JSON.stringify({ prompt }));
});
socket.addEventListener("message", ({ data }) => {
  const message = JSON.parse(data);
  events.push(message);
  if (message.event === "done" || message.event === "error") left -= 1;
  if (left === 0) socket.close(1000);
});
socket.addEventListener("close", ({ code }) => {
  if (left > 0 || code !== 1000) events.push({ event: "failed", data: code });
  console.log(JSON.stringify(events));
});
