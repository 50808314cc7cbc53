// Loads one URL with wrk, and measures the processor time of the processes.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { TOKEN, cpuMicroseconds } from "./processes.mjs";

const run = promisify(execFile);

const LONG_BYTES = 500_000;

const SHORT = { prompt: "What is the capital of Japan, and how many people live there?" };

/** The workloads: the body and headers of a request, the number of frames of a streamed response, and whether the Worker authenticates the caller. */
export const WORKLOADS = {
  short: { body: SHORT },
  token: { body: SHORT, headers: { authorization: `Bearer ${TOKEN}` }, usesAuth: true },
  long: { body: { prompt: "The quick brown fox jumps over the lazy dog. ".repeat(LONG_BYTES / 45) } },
  stream: { body: SHORT, headers: { accept: "text/event-stream" }, frames: 300 },
  batched: { body: { prompt: `batched: ${SHORT.prompt}` }, headers: { accept: "text/event-stream" }, frames: 300 },
};

export async function checkWrk() {
  const version = await run("wrk", ["-v"]).catch((error) => error);
  if (version.code === "ENOENT") throw new Error("wrk is not installed (Debian: apt-get install wrk)");
}

/** Loads a URL for a number of seconds. Returns requests per second, latencies in milliseconds, and for each process the processor time per request in microseconds and the number of cores that it used. */
export async function load(url, workload, { connections, seconds, directory, pids = {}, isWarmUp = false }) {
  const { body, headers = {}, frames, path = "", upstreamPath } = workload;
  const file = join(directory, "body.json");
  writeFileSync(file, JSON.stringify(body));
  const before = Object.entries(pids).map(([name, pid]) => [name, pid, cpuMicroseconds(pid)]);
  const target = url + (upstreamPath ?? path);
  const args = ["-t1", `-c${connections}`, `-d${seconds}s`, "--timeout=30s", "-s", "benches/wrk.lua", target, "--", file, ...Object.entries(headers).flat()];
  const { stdout } = await run("wrk", args);
  const { requests, microseconds, mean, p50, p99, failed } = JSON.parse(stdout.trim().split("\n").at(-1));
  if (failed > 0) throw new Error(`${failed} of ${requests} requests to ${url} failed`);
  // No stream of 64 ends within a warm-up.
  if (requests === 0 && !isWarmUp) throw new Error(`expected responses from ${url} within ${seconds} s, got none`);
  // Concurrent streams end together, so a count of those that ended depends on where the round ends. Little's
  // law derives the rate from the mean latency.
  const rate = frames ? connections / (mean / 1e6) : requests / (microseconds / 1e6);
  const cpu = Object.fromEntries(
    before.map(([name, pid, then]) => {
      const cores = (cpuMicroseconds(pid) - then) / microseconds;
      return [name, { perRequest: (cores * 1e6) / rate, cores }];
    }),
  );
  return { rate, p50: p50 / 1000, p99: p99 / 1000, cpu };
}

const MODEL = "/model/apac.anthropic.claude-sonnet-4-20250514-v1%3A0";

/** The same workload, sent to the upstream directly. */
export function direct(workload) {
  return { ...workload, upstreamPath: `${MODEL}/${workload.frames ? "invoke-with-response-stream" : "invoke"}` };
}
