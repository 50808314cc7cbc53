// npm run instructions [-- WORKLOAD]
//
// Counts the instructions of the whole workerd process per request with valgrind's callgrind. The count is
// reproducible on a machine whose times are not. The kernel's instructions are not counted.
import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { Agent, request } from "node:http";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { WORKLOADS } from "./bench/load.mjs";
import { findWorkerd, prepare, startUpstream, startWorkerd, withAuth } from "./bench/processes.mjs";
import { MESSAGES_WORKERS, TURN, WAYS } from "./bench/turn.mjs";

process.chdir(dirname(dirname(fileURLToPath(import.meta.url))));

const ARTICLE_WORKERS = ["bedrock-edge", "aws4fetch", "unsigned", "pass-through"];
/** A turn of Claude Code by InvokeModelWithResponseStream, and by Bedrock's own Messages API. */
const TURNS = { turn: WAYS.invoke, native: WAYS.native };
/** The number of warm-up requests, during which V8 compiles, and of counted requests. */
const COUNTS = { short: [3000, 1000], token: [3000, 1000], long: [60, 60], stream: [60, 40], batched: [100, 100], turn: [60, 40], native: [60, 40] };
const CONNECTIONS = 4;

const name = process.argv[2] ?? "short";
if (!(name in COUNTS)) {
  console.error(`bedrock-edge: expected one of the workloads ${Object.keys(COUNTS).join(", ")}, got ${name}`);
  process.exit(1);
}

try {
  execFileSync("valgrind", ["--version"], { stdio: "ignore" });
} catch {
  console.error("bedrock-edge: valgrind is not installed (Debian: apt-get install valgrind)");
  process.exit(1);
}

const workload = name in TURNS ? TURN : WORKLOADS[name];
const { variables = {} } = TURNS[name] ?? {};

function requester(url, { body, headers = {}, path = "" }) {
  const text = JSON.stringify(body);
  const options = {
    method: "POST",
    agent: new Agent({ keepAlive: true, maxSockets: CONNECTIONS }),
    headers: { "content-type": "application/json", "content-length": Buffer.byteLength(text), ...headers },
  };
  return () =>
    new Promise((resolve, reject) => {
      const call = request(url + path, options, (response) => {
        response.resume();
        response.on("end", () => (response.statusCode === 200 ? resolve() : reject(new Error(`status ${response.statusCode}`))));
      });
      call.on("error", reject);
      call.end(text);
    });
}

async function repeat(call, count) {
  let remaining = count;
  const connection = async () => {
    while (remaining-- > 0) await call();
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, connection));
}

async function instructions(worker, directory, upstream) {
  // Compiles wasm with the optimizing compiler at once. V8 would otherwise do it after many thousand requests.
  const flags = ["--no-liftoff"];
  const variant = workload.usesAuth && worker !== "pass-through" ? withAuth(worker) : worker;
  const prepared = prepare(directory, [variant], upstream, variables, flags);
  // With fair scheduling, because V8's compiler thread would otherwise starve.
  const under = ["valgrind", "--tool=callgrind", "--fair-sched=yes", "--smc-check=all-non-file", "--instr-atstart=no", `--callgrind-out-file=${prepared.directory}/callgrind.out`];
  const workerd = await startWorkerd(findWorkerd(), prepared, { under });
  const call = requester(workerd.urls[variant], workload);
  const [warmUp, counted] = COUNTS[name];
  await repeat(call, warmUp);
  const control = (...args) => execFileSync("callgrind_control", [...args, String(workerd.pid)], { stdio: "ignore" });
  control("--instr=on");
  await repeat(call, counted);
  control("--instr=off");
  control("--dump");
  const files = readdirSync(prepared.directory).filter((file) => file.startsWith("callgrind.out"));
  const totals = files.flatMap((file) => [...readFileSync(join(prepared.directory, file), "utf8").matchAll(/^totals: (\d+)$/gm)].map(([, total]) => Number(total)));
  await workerd.end();
  return Math.max(...totals) / counted;
}

const directory = execFileSync("scripts/bench-build", { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] }).trim();
const upstream = await startUpstream(directory);
console.log(`${name}: thousand instructions per request`);
for (const worker of name in TURNS ? MESSAGES_WORKERS : ARTICLE_WORKERS) {
  const count = await instructions(worker, directory, upstream);
  console.log(`${worker.padEnd(18)}${(count / 1000).toFixed(0).padStart(8)}`);
}
process.exit();
