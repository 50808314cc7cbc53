// Checks that the implementations of the Messages API do the same: what arrives at Bedrock, the response, and the log line.
import { deepEqual } from "node:assert/strict";
import { once } from "node:events";
import { createServer, request as send } from "node:http";
import { ask, masked, until } from "./check.mjs";
import { prepare, startStub, startWorkerd } from "./processes.mjs";
import { MODEL, TURN, WAYS } from "./turn.mjs";

const post = (body, headers = TURN.headers) => ({
  method: "POST",
  path: TURN.path,
  headers: { "content-type": "application/json", ...headers },
  body: typeof body === "string" ? body : JSON.stringify(body),
});

const hello = { model: MODEL, max_tokens: 100, stream: true, messages: [{ role: "user", content: "Hi" }] };
const image = { type: "image", source: { type: "url", url: "https://example.com/a.png" } };

const CASES = {
  "a turn": post(TURN.body),
  "a prompt without betas": post(hello, { "anthropic-version": "2023-06-01" }),
  "five breakpoints and an empty block": post({
    ...hello,
    system: Array.from({ length: 5 }, (_, index) => ({ type: "text", text: `${index}`, cache_control: { type: "ephemeral" } })),
    messages: [{ role: "user", content: [{ type: "text", text: "" }, { type: "text", text: "Hi" }] }],
  }),
  "too many tokens": post({ ...hello, max_tokens: 1_000_000 }),
  "no version": post(hello, {}),
  "an unknown model": post({ ...hello, model: "claude-9" }),
  "no model": post({ ...hello, model: undefined }),
  "no max_tokens": post({ ...hello, max_tokens: undefined }),
  "an image by URL": post({ ...hello, messages: [{ role: "user", content: [image] }] }),
  "a tool of Anthropic's servers": post({ ...hello, tools: [{ type: "web_search_20250305", name: "web_search" }] }),
  "a prefill": post({ ...hello, messages: [...hello.messages, { role: "assistant", content: "Well," }] }),
};

/** Starts a server that passes requests on to the upstream and keeps the last one. */
async function startRecorder(upstream) {
  const recorder = { last: undefined };
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    const { "content-type": type, accept, "anthropic-version": version, "anthropic-beta": betas } = request.headers;
    recorder.last = { url: request.url, headers: { type, accept, version, betas }, body: JSON.parse(body) };
    const call = send(upstream.url + request.url, { method: request.method }, (reply) => {
      response.writeHead(reply.statusCode, reply.headers);
      reply.pipe(response);
    });
    call.end(body);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  recorder.url = `http://127.0.0.1:${server.address().port}`;
  recorder.end = () => {
    server.closeAllConnections();
    server.close();
  };
  return recorder;
}

/** Returns the number of requests that were compared. */
export async function checkTurn(workerd, directory, workers, upstream) {
  for (const { variables } of Object.values(WAYS)) {
    const lines = [];
    const recorder = await startRecorder(upstream);
    const process = await startWorkerd(workerd, prepare(directory, workers, recorder, variables), { onLine: (line) => lines.push(line) });
    for (const [name, request] of Object.entries(CASES)) {
      const results = [];
      for (const worker of workers) {
        recorder.last = undefined;
        const { id, ...response } = await ask(process.urls[worker], request);
        const line = await until(() => lines.find((line) => line.includes(id)), `a log line with the request ID ${id}`);
        results.push({ ...response, line: masked(line), sent: recorder.last });
      }
      const [expected, ...others] = results;
      others.forEach((result, index) => deepEqual(result, expected, `${name}: ${workers[index + 1]}`));
    }
    await process.end();
    recorder.end();
    await checkWithStub(workerd, directory, workers, variables);
  }
  return Object.keys(CASES).length;
}

/** Checks that the stand-in, which refuses what Bedrock would, accepts the turn. */
async function checkWithStub(workerd, directory, workers, variables) {
  const stub = await startStub(directory);
  const process = await startWorkerd(workerd, prepare(directory, workers, stub, variables));
  for (const worker of workers) {
    const { status, body } = await ask(process.urls[worker], CASES["a turn"]);
    if (status !== 200 || body.includes("event: error")) throw new Error(`${worker}, a turn: ${body}`);
  }
  await process.end();
  await stub.end();
}
