// Bedrock's own API, passed on: the workloads, and the gateways.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { createServer, request } from "node:http";
import { homedir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { load } from "./load.mjs";
import { memoryKib, prepare, startWorkerd } from "./processes.mjs";

const MODEL = "apac.anthropic.claude-sonnet-4-20250514-v1:0";
const PATH = `model/${MODEL.replace(":", "%3A")}`;
const SHORT = "What is the capital of Japan, and how many people live there?";

const invocation = (content) => ({ anthropic_version: "bedrock-2023-05-31", max_tokens: 100, messages: [{ role: "user", content }] });
const image = (bytes) => invocation([{ type: "image", source: { type: "base64", media_type: "image/png", data: "iVBORw0K".repeat(bytes / 8) } }]);

/** The workloads. A stream has as many frames as the upstream's. With more bodies of 5 MB at once, bedrock-edge makes some wait for memory. */
export const AWS_WORKLOADS = {
  "converse-stream": { path: `${PATH}/converse-stream`, body: { messages: [{ role: "user", content: [{ text: SHORT }] }] }, frames: 300, connections: 8 },
  "5 MB": { path: `${PATH}/invoke`, body: image(5_000_000), connections: 3 },
};

/** The Workers, in the order of a round. */
export const AWS_WORKERS = ["bedrock-edge", "aws-smithy", "aws-pass-through"];

const PORTKEY = "@portkey-ai/gateway@1.15.2";

/** The request that makes Portkey's gateway call ConverseStream at the upstream. */
export const portkeyWorkload = (upstream) => ({
  path: "v1/chat/completions",
  body: { model: MODEL, stream: true, max_tokens: 100, messages: [{ role: "user", content: SHORT }] },
  headers: {
    "x-portkey-provider": "bedrock",
    "x-portkey-aws-access-key-id": "AKIAIOSFODNN7EXAMPLE",
    "x-portkey-aws-secret-access-key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "x-portkey-aws-region": "ap-northeast-1",
    "x-portkey-custom-host": upstream.url,
  },
  frames: 300,
});

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  return port;
}

/** Starts Portkey's gateway, which is installed into the cache if it is not there yet. Returns undefined if it cannot run. */
export async function startPortkey() {
  const directory = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "bedrock-edge", PORTKEY.replace(/[/@]+/g, "-"));
  const script = join(directory, "node_modules/@portkey-ai/gateway/build/start-server.js");
  try {
    if (!existsSync(script)) {
      mkdirSync(directory, { recursive: true });
      const options = ["--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error", "--ignore-scripts"];
      execFileSync("npm", ["install", "--prefix", directory, ...options, PORTKEY], { stdio: ["ignore", "ignore", "inherit"] });
    }
    const port = await freePort();
    const child = spawn(process.execPath, [script, "--headless", `--port=${port}`], { cwd: directory, stdio: "ignore" });
    process.on("exit", () => child.kill("SIGKILL"));
    const url = `http://127.0.0.1:${port}/`;
    for (let attempt = 0; attempt < 100; attempt++) {
      if (await fetch(url).then(() => true, () => false)) return { pid: child.pid, url, end: () => child.kill("SIGKILL") };
      await sleep(100);
    }
    child.kill("SIGKILL");
  } catch (error) {
    console.error(`bedrock-edge: ${PORTKEY} does not run here: ${error.message}`);
  }
  return undefined;
}

/** Asks once, and returns the response as bytes. */
export async function ask(url, { path, body, headers }) {
  const response = await fetch(url + path, { method: "POST", headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(body) });
  return { status: response.status, type: response.headers.get("content-type"), bytes: Buffer.from(await response.arrayBuffer()) };
}

/** Checks that the Workers pass the same bytes on, which are the upstream's. */
export async function checkAws(urls, upstream) {
  for (const [name, workload] of Object.entries(AWS_WORKLOADS)) {
    const expected = await ask(`${upstream.url}/`, workload);
    for (const worker of AWS_WORKERS) {
      const { status, type, bytes } = await ask(urls[worker], workload);
      if (status !== 200 || type !== expected.type || !bytes.equals(expected.bytes)) throw new Error(`${worker}: ${name}: expected the bytes of the upstream, got ${status} ${type} and ${bytes.length} bytes`);
    }
  }
}

/** Loads the Workers in turn with each workload, and Portkey's gateway with the stream. */
export async function measureAws({ process: workerd, portkey, upstream, directory, rounds, seconds, warmUp }) {
  const results = {};
  for (const [name, workload] of Object.entries(AWS_WORKLOADS)) {
    const loads = AWS_WORKERS.map((worker) => [worker, workerd.urls[worker], workload, { workerd: workerd.pid }]);
    if (portkey && workload.frames) loads.push(["portkey", portkey.url, portkeyWorkload(upstream), { workerd: portkey.pid }]);
    const run = ([, url, work, pids], more) => load(url, work, { connections: workload.connections, directory, pids, ...more });
    for (const it of loads) await run(it, { seconds: warmUp, isWarmUp: true });
    results[name] = Object.fromEntries(loads.map(([worker]) => [worker, []]));
    for (let round = 0; round < rounds; round++) {
      for (const it of loads) results[name][it[0]].push(await run(it, { seconds }));
    }
  }
  return results;
}

const LONG_BYTES = 19_900_000;

/** The memory that one request of 20 MB adds to workerd at most, in KiB. */
export async function longRequestMemory({ workerd, upstream, directory, rounds }) {
  const text = JSON.stringify(image(LONG_BYTES));
  const results = Object.fromEntries(AWS_WORKERS.map((worker) => [worker, []]));
  for (let round = 0; round < rounds; round++) {
    for (const worker of AWS_WORKERS) {
      const process = await startWorkerd(workerd, prepare(directory, [worker], upstream));
      const url = `${process.urls[worker]}${PATH}/invoke`;
      await post(url, JSON.stringify(invocation(SHORT)));
      await sleep(300);
      const before = memoryKib(process.pid, "VmRSS");
      // The peak so far is that of the start.
      writeFileSync(`/proc/${process.pid}/clear_refs`, "5");
      await post(url, text);
      results[worker].push(memoryKib(process.pid, "VmHWM") - before);
      await process.end();
    }
  }
  return results;
}

function post(url, body) {
  return new Promise((resolve, reject) => {
    const call = request(url, { method: "POST", headers: { "content-type": "application/json" }, agent: false }, (response) => {
      if (response.statusCode !== 200) reject(new Error(`expected 200, got ${response.statusCode}`));
      response.resume().on("end", resolve);
    });
    call.on("error", reject);
    call.end(body);
  });
}
