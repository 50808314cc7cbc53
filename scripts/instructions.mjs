// npm run instructions [-- WORKLOAD]
//
// What a request takes of the whole workerd process, in instructions, counted by valgrind's callgrind: the
// same from run to run, on a machine whose times are not. The kernel's are not counted, and waiting is none.
import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { Agent, request } from "node:http";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { WORKLOADS } from "./bench/load.mjs";
import { findWorkerd, gated, prepare, startUpstream, startWorkerd } from "./bench/processes.mjs";

process.chdir(dirname(dirname(fileURLToPath(import.meta.url))));

const WORKERS = ["bedrock-edge", "aws4fetch", "unsigned", "pass-through"];
/** How many requests before those that are counted, and how many are: V8 compiles meanwhile. */
const COUNTS = { short: [3000, 1000], gated: [3000, 1000], long: [60, 60], stream: [60, 40], batched: [100, 100] };
const CONNECTIONS = 4;

const name = process.argv[2] ?? "short";
if (!(name in COUNTS)) {
  console.error(`bedrock-edge: the workload is one of ${Object.keys(COUNTS).join(", ")}`);
  process.exit(1);
}

try {
  execFileSync("valgrind", ["--version"], { stdio: "ignore" });
} catch {
  console.error("bedrock-edge: valgrind is missing: install it (Debian: apt-get install valgrind)");
  process.exit(1);
}

function caller(url, { body, headers = {} }) {
  const text = JSON.stringify(body);
  const options = {
    method: "POST",
    agent: new Agent({ keepAlive: true, maxSockets: CONNECTIONS }),
    headers: { "content-type": "application/json", "content-length": Buffer.byteLength(text), ...headers },
  };
  return () =>
    new Promise((resolve, reject) => {
      const call = request(url, options, (response) => {
        response.resume();
        response.on("end", () => (response.statusCode === 200 ? resolve() : reject(new Error(`status ${response.statusCode}`))));
      });
      call.on("error", reject);
      call.end(text);
    });
}

async function many(call, count) {
  let left = count;
  const one = async () => {
    while (left-- > 0) await call();
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, one));
}

async function instructions(worker, workload, directory, upstream) {
  // wasm as it is in the end, which for most functions is after many thousand requests.
  const flags = ["--no-liftoff"];
  const named = workload.isGated && worker !== "pass-through" ? gated(worker) : worker;
  const place = prepare(directory, [named], upstream, {}, flags);
  // Threads take turns, or V8's compiler gets none.
  const under = ["valgrind", "--tool=callgrind", "--fair-sched=yes", "--smc-check=all-non-file", "--instr-atstart=no", `--callgrind-out-file=${place.place}/callgrind.out`];
  const workerd = await startWorkerd(findWorkerd(), place, { under });
  const call = caller(workerd.urls[named], workload);
  const [before, counted] = COUNTS[name];
  await many(call, before);
  const control = (...args) => execFileSync("callgrind_control", [...args, String(workerd.pid)], { stdio: "ignore" });
  control("--instr=on");
  await many(call, counted);
  control("--instr=off");
  control("--dump");
  const files = readdirSync(place.place).filter((file) => file.startsWith("callgrind.out"));
  const totals = files.flatMap((file) => [...readFileSync(join(place.place, file), "utf8").matchAll(/^totals: (\d+)$/gm)].map(([, total]) => Number(total)));
  await workerd.end();
  return Math.max(...totals) / counted;
}

const directory = execFileSync("scripts/bench-build", { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] }).trim();
const upstream = await startUpstream(directory);
console.log(`${name}: thousand instructions a request`);
for (const worker of WORKERS) {
  const count = await instructions(worker, WORKLOADS[name], directory, upstream);
  console.log(`${worker.padEnd(14)}${(count / 1000).toFixed(0).padStart(8)}`);
}
process.exit();
