// The Workers that do the whole job give the same answers, and log the same: what is compared does
// the same work.
import { deepEqual } from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { WORKLOADS } from "./load.mjs";
import { TOKEN, gated, prepare, startStub, startWorkerd } from "./processes.mjs";

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
  "too many tokens": post({ prompt: "Hi", max_tokens: 101 }),
  "too hot": post({ prompt: "Hi", temperature: 1.1 }),
  "a blank system prompt": post({ prompt: "Hi", system: "" }),
  "a stop sequence that is none": post({ prompt: "Hi", stop_sequences: ["a", 1] }),
  "an array": post([1]),
  "no JSON": post("{"),
  "a form": post("prompt=Hi", { "content-type": "application/x-www-form-urlencoded" }),
  "Shift_JIS": post({ prompt: "Hi" }, { "content-type": "application/json; charset=shift_jis" }),
  "too long": post({ prompt: "a".repeat(1 << 20) }),
  "another path": { path: "nowhere", ...post({ prompt: "Hi" }) },
  "another method": { method: "PUT", headers: json, body: "{}" },
  OPTIONS: { method: "OPTIONS" },
  health: { path: "healthz" },
  "an error of Bedrock's": post({ prompt: "throttled" }),
  "an error instead of a stream": post({ prompt: "throttled", stream: true }),
  "no answer in time": post({ prompt: "held" }),
};

const bearer = (token) => post({ prompt: "Hi" }, { ...json, authorization: `Bearer ${token}` });

const GATED_CASES = {
  "the right token": bearer(TOKEN),
  "a wrong token": bearer("wrong"),
  "no token": post({ prompt: "Hi" }),
};

/** Longer than the waits between the calls that are throttled. */
const TIMEOUT_MS = 6000;

/** What is in it that no two requests have in common. */
const masked = (text) => text.replace(/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, "ID").replace(/(dur=|_ms":)\d+/g, "$1N");

async function ask(url, { path = "", ...init }) {
  const response = await fetch(url + path, init);
  const body = await response.text();
  return { id: response.headers.get("x-request-id"), status: response.status, headers: masked(JSON.stringify([...response.headers])), body: masked(body) };
}

export async function checkAnswers(workerd, directory, workers, upstream) {
  const lines = [];
  const place = prepare(directory, [...workers, ...workers.map(gated)], upstream, { BEDROCK_TIMEOUT_MS: String(TIMEOUT_MS) });
  const process = await startWorkerd(workerd, place, { onLine: (line) => lines.push(line) });
  async function lineOf(id) {
    for (let i = 0; i < 500; i++) {
      const line = lines.find((line) => line.includes(id));
      if (line) return masked(line);
      await sleep(10);
    }
    throw new Error(`no log line of ${id}`);
  }
  const cases = [...Object.entries(CASES), ...Object.entries(GATED_CASES).map((it) => [...it, gated])];
  for (const [name, request, which = (worker) => worker] of cases) {
    const answers = [];
    for (const worker of workers) {
      const { id, ...answer } = await ask(process.urls[which(worker)], request);
      const line = await lineOf(id);
      answers.push({ ...answer, line });
    }
    // Where JSON is wrong each parser says in its own words.
    if (name === "no JSON") {
      for (const answer of answers) {
        answer.body = "";
        answer.headers = answer.headers.replace(/"content-length","\d+"/, "");
      }
    }
    const [expected, ...others] = answers;
    others.forEach((answer, index) => deepEqual(answer, expected, `${name}: ${workers[index + 1]}`));
  }
  await process.end();
  return cases.length;
}

/** What the Workers send is signed as AWS wants it. */
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
