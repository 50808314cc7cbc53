// The measurements.
import { request } from "node:http";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { WORKLOADS, direct, load } from "./load.mjs";
import { TURN } from "./turn.mjs";
import { MODULES, memoryKib, prepare, startWorkerd, withAuth } from "./processes.mjs";

const json = { "content-type": "application/json" };

/** Loads the Workers of one workerd process in turn. Returns the list of rounds of each Worker. */
export async function throughput({ workers, process, upstream, workload, connections, seconds, warmUp, rounds, directory }) {
  const options = { connections, directory, pids: { workerd: process.pid, upstream: upstream.pid } };
  // pass-through has no variant that authenticates the caller.
  const url = (worker) => (WORKLOADS[workload].usesAuth && process.urls[withAuth(worker)]) || process.urls[worker];
  return inTurns(workers, rounds, seconds, warmUp, (worker, more) => load(url(worker), WORKLOADS[workload], { ...options, ...more }));
}

/** Loads the Workers of one workerd process in turn with a turn of Claude Code. */
export async function turns({ workers, process, upstream, connections, seconds, warmUp, rounds, directory }) {
  const options = { connections, directory, pids: { workerd: process.pid, upstream: upstream.pid } };
  return inTurns(workers, rounds, seconds, warmUp, (worker, more) => load(process.urls[worker], TURN, { ...options, ...more }));
}

async function inTurns(workers, rounds, seconds, warmUp, loadWorker) {
  for (const worker of workers) await loadWorker(worker, { seconds: warmUp, isWarmUp: true });
  const results = Object.fromEntries(workers.map((worker) => [worker, []]));
  for (let round = 0; round < rounds; round++) {
    for (const worker of workers) results[worker].push(await loadWorker(worker, { seconds }));
  }
  return results;
}

/** The rate of the upstream without a Worker, for each workload. */
export async function capacity({ upstream, seconds, directory }) {
  const results = {};
  for (const name of Object.keys(WORKLOADS)) {
    const options = { connections: 64, seconds, directory };
    results[name] = (await load(upstream.url, direct(WORKLOADS[name]), options)).rate;
  }
  return results;
}

/** Microseconds per signature. One request makes many of them, because the clock of a Worker does not advance during a computation. */
export async function signing({ process, rounds, bytes, times }) {
  const signers = ["sign-bedrock-edge", "sign-aws4fetch"];
  const results = Object.fromEntries(signers.map((signer) => [signer, []]));
  for (let round = -1; round < rounds; round++) {
    for (const signer of signers) {
      const started = performance.now();
      const response = await fetch(`${process.urls[signer]}?times=${times}&bytes=${bytes}`);
      const text = await response.text();
      if (!text.startsWith("AWS4-HMAC-SHA256 ")) throw new Error(`${signer}: expected a signature, got ${text}`);
      // The first round is the warm-up.
      if (round >= 0) results[signer].push(((performance.now() - started) * 1000) / times);
    }
  }
  return results;
}

/** Milliseconds from the start of workerd to the end of the first response. */
export async function coldStart({ workerd, workers, upstream, directory, rounds }) {
  const preparations = workers.map((worker) => [worker, prepare(directory, [worker], upstream)]);
  const results = Object.fromEntries(workers.map((worker) => [worker, []]));
  for (let round = -1; round < rounds; round++) {
    for (const [worker, prepared] of preparations) {
      const started = performance.now();
      const process = await startWorkerd(workerd, prepared);
      const response = await fetch(process.urls[worker], { method: "POST", headers: json, body: JSON.stringify(WORKLOADS.short.body) });
      await response.text();
      // The first round loads workerd into the page cache.
      if (round >= 0) results[worker].push(performance.now() - started);
      await process.end();
    }
  }
  return results;
}

/** The size of an upload in bytes: raw and gzipped. */
export function sizes(directory, workers) {
  return Object.fromEntries(
    workers.map((worker) => {
      const files = MODULES[worker].map((name) => readFileSync(join(directory, name)));
      const sum = (lengths) => lengths.reduce((a, b) => a + b);
      return [worker, { raw: sum(files.map((bytes) => bytes.length)), gzipped: sum(files.map((bytes) => gzipSync(bytes).length)) }];
    }),
  );
}

/** The peak memory of a process with one Worker, after short and long prompts, in KiB. */
export async function peakMemory({ workerd, workers, upstream, directory, seconds }) {
  const results = {};
  for (const worker of workers) {
    const process = await startWorkerd(workerd, prepare(directory, [worker], upstream));
    for (const [name, connections] of [["short", 64], ["long", 8]]) {
      await load(process.urls[worker], WORKLOADS[name], { connections, seconds, directory });
    }
    results[worker] = memoryKib(process.pid, "VmHWM");
    await process.end();
  }
  return results;
}

/** Few enough for a limit of 1024 file descriptors, of which workerd needs two per stream. */
const OPEN_STREAMS = { before: 100, after: 400 };

/** The resident memory per open stream, in KiB. */
export async function streamMemory({ workerd, workers, upstream, directory, rounds }) {
  const preparations = workers.map((worker) => [worker, prepare(directory, [worker], upstream)]);
  const results = Object.fromEntries(workers.map((worker) => [worker, []]));
  for (let round = 0; round < rounds; round++) {
    for (const [worker, prepared] of preparations) {
      const process = await startWorkerd(workerd, prepared);
      const streams = [];
      async function residentWith(count) {
        const more = Array.from({ length: count - streams.length }, () => openStream(process.urls[worker]));
        streams.push(...(await Promise.all(more)));
        await sleep(500);
        return memoryKib(process.pid, "VmRSS");
      }
      // The first streams include the memory of the code and the first pages of the heap.
      const before = await residentWith(OPEN_STREAMS.before);
      const after = await residentWith(OPEN_STREAMS.after);
      results[worker].push((after - before) / (OPEN_STREAMS.after - OPEN_STREAMS.before));
      for (const stream of streams) stream.destroy();
      await process.end();
    }
  }
  return results;
}

/** Opens a stream that begins and then stalls. */
function openStream(url) {
  return new Promise((resolve, reject) => {
    const headers = { ...json, accept: "text/event-stream" };
    const call = request(url, { method: "POST", headers, agent: false }, (response) => {
      response.once("data", () => resolve(call));
      response.on("error", () => {}); // destroy() causes one
    });
    call.on("error", reject);
    call.end(JSON.stringify({ prompt: "held" }));
  });
}
