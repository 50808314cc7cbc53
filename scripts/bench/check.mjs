// Checks that the implementations have the same responses and log lines, so that the benchmark compares the
// same work.
import { deepEqual } from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { WORKLOADS } from "./load.mjs";
import { TOKEN, prepare, startStub, startWorkerd, withAuth } from "./processes.mjs";

const json = { "content-type": "application/json" };
const post = (body, headers = json) => ({ method: "POST", headers, body: typeof body === "string" ? body : JSON.stringify(body) });

const CASES = {
  "a short prompt": post({ prompt: "What is the capital of Japan?" }),
  "all fields": post({ prompt: "日本の首都は?", max_tokens: 20, temperature: 0.5, system: "Be brief.", stop_sequences: ["."], stream: false, more: 1 }),
  "no body": post(""),
  "a stream": post({ prompt: "What is the capital of Japan?", stream: true }),
  "a stream in batches": post({ prompt: "batched", stream: true }),
  "a blank prompt": post({ prompt: " \n" }),
  "a number for a prompt": post({ prompt: 1 }),
  "null for a prompt": post({ prompt: null }),
  "null for all fields": post({ prompt: null, max_tokens: null, temperature: null, system: null, stop_sequences: null, stream: null }),
  "a body of another kind": post({ Records: [] }),
  "a stream that the body refuses": post({ prompt: "Hi", stream: false }, { ...json, accept: "text/event-stream" }),
  "a stream that is not preferred": post({ prompt: "Hi" }, { ...json, accept: "text/event-stream;q=0.1, */*" }),
  "a type twice": post({ prompt: "Hi" }, { "content-type": "application/json, application/json" }),
  "max_tokens above the limit": post({ prompt: "Hi", max_tokens: 101 }),
  "a temperature above 1": post({ prompt: "Hi", temperature: 1.1 }),
  "a blank system prompt": post({ prompt: "Hi", system: "" }),
  "a stop sequence that is not a string": post({ prompt: "Hi", stop_sequences: ["a", 1] }),
  "an array": post([1]),
  "invalid JSON": post("{"),
  "a form": post("prompt=Hi", { "content-type": "application/x-www-form-urlencoded" }),
  "Shift_JIS": post({ prompt: "Hi" }, { "content-type": "application/json; charset=shift_jis" }),
  "a body above the limit": post({ prompt: "a".repeat(1 << 20) }),
  "another path": { path: "nowhere", ...post({ prompt: "Hi" }) },
  "another method": { method: "PUT", headers: json, body: "{}" },
  OPTIONS: { method: "OPTIONS" },
  probe: {},
  health: { path: "healthz" },
  "an error of Bedrock": post({ prompt: "throttled" }),
  "an error in place of a stream": post({ prompt: "throttled", stream: true }),
  "no response before the deadline": post({ prompt: "held" }),
};

const bearer = (token) => post({ prompt: "Hi" }, { ...json, authorization: `Bearer ${token}` });

const AUTH_CASES = {
  "a valid token": bearer(TOKEN),
  "an invalid token": bearer("wrong"),
  "no token": post({ prompt: "Hi" }),
};

/** Longer than the delays between the retries of a throttled call. */
const TIMEOUT_MS = 6000;

/** Masks what differs between two requests: IDs and times. */
export const masked = (text) => text.replace(/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, "ID").replace(/(dur=|_ms":)\d+/g, "$1N");

export async function ask(url, { path = "", ...init }) {
  const response = await fetch(url + path, init);
  const body = await response.text();
  return { id: response.headers.get("x-request-id"), status: response.status, headers: masked(JSON.stringify([...response.headers])), body: masked(body) };
}

/** Waits for the result of a search that is not undefined. */
export async function until(find, expected) {
  for (let i = 0; i < 500; i++) {
    const found = find();
    if (found !== undefined) return found;
    await sleep(10);
  }
  throw new Error(`expected ${expected}, got none in 5 s`);
}

export async function checkResponses(workerd, directory, workers, upstream) {
  const lines = [];
  const prepared = prepare(directory, [...workers, ...workers.map(withAuth)], upstream, { BEDROCK_TIMEOUT_MS: String(TIMEOUT_MS) });
  const process = await startWorkerd(workerd, prepared, { onLine: (line) => lines.push(line) });
  const cases = [...Object.entries(CASES), ...Object.entries(AUTH_CASES).map((it) => [...it, withAuth])];
  for (const [name, request, variant = (worker) => worker] of cases) {
    const responses = [];
    for (const worker of workers) {
      const { id, ...response } = await ask(process.urls[variant(worker)], request);
      const line = await until(() => lines.find((line) => line.includes(id)), `a log line with the request ID ${id}`);
      responses.push({ ...response, line: masked(line) });
    }
    // Each JSON parser has its own error messages.
    if (name === "invalid JSON") {
      for (const response of responses) {
        response.body = "";
        response.headers = response.headers.replace(/"content-length","\d+"/, "");
      }
    }
    const [expected, ...others] = responses;
    others.forEach((response, index) => deepEqual(response, expected, `${name}: ${workers[index + 1]}`));
  }
  await process.end();
  return cases.length;
}

/** Checks that the stand-in accepts the signatures of the Workers. */
export async function checkSignatures(workerd, directory, workers) {
  const stub = await startStub(directory);
  const process = await startWorkerd(workerd, prepare(directory, workers, stub));
  for (const worker of workers) {
    for (const workload of ["short", "long", "stream"]) {
      const { body, headers } = WORKLOADS[workload];
      const response = await fetch(process.urls[worker], post(body, { ...json, ...headers }));
      const text = await response.text();
      if (response.status !== 200 || text.includes("event: error")) throw new Error(`${worker}, ${workload}: ${text}`);
    }
  }
  await process.end();
  await stub.end();
}
