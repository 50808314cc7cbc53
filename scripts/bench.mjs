// npm run bench [-- --quick | --rounds N --seconds N]
//
// Builds the Worker and its baselines, loads them in one workerd process, and writes what comes of
// it to benches/RESULTS.md and benches/results.svg. It fails if something breaks, never because a
// figure is not what it should be.
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { checkAnswers, checkSignatures } from "./bench/check.mjs";
import { environment } from "./bench/environment.mjs";
import { checkWrk } from "./bench/load.mjs";
import { capacity, coldStart, peakMemory, signing, sizes, streamMemory, throughput } from "./bench/measure.mjs";
import { plot } from "./bench/plot.mjs";
import { MODULES, findWorkerd, gated, prepare, startUpstream, startWorkerd } from "./bench/processes.mjs";
import { report } from "./bench/report.mjs";

process.chdir(dirname(dirname(fileURLToPath(import.meta.url))));

const { values: options } = parseArgs({
  options: { quick: { type: "boolean" }, rounds: { type: "string" }, seconds: { type: "string" } },
});
const plan = {
  rounds: Number(options.rounds ?? (options.quick ? 1 : 5)),
  // Less, and of 64 streams none ends within a round.
  seconds: Number(options.seconds ?? (options.quick ? 3 : 5)),
  warmUp: options.quick ? 1 : 3,
  starts: options.quick ? 3 : 15,
};

/** In the order of a round. */
const WORKERS = ["bedrock-edge", "aws4fetch", "unsigned", "pass-through"];
const WHOLE = WORKERS.slice(0, 3);

const SCENARIOS = [
  ...["short", "gated", "long", "stream"].flatMap((workload) => [1, 8, 64].map((connections) => ({ workload, connections }))),
  { workload: "batched", connections: 8 },
];

const say = (line) => console.error(`bedrock-edge: ${line}`);

async function bench() {
  if (process.platform !== "linux") throw new Error("this runs on Linux only: it reads /proc");
  await checkWrk();
  const directory = execFileSync("scripts/bench-build", { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] }).trim();
  const workerd = findWorkerd();
  const upstream = await startUpstream(directory);
  const common = { workerd, workers: WORKERS, upstream, directory, ...plan };

  const cases = await checkAnswers(workerd, directory, WHOLE, upstream);
  say(`${WHOLE.join(", ")}: the same answers to ${cases} requests`);
  await checkSignatures(workerd, directory, WHOLE.slice(0, 2));
  say(`${WHOLE.slice(0, 2).join(", ")}: signatures that the stand-in takes`);

  const results = { plan, cases, environment: environment(workerd), sizes: sizes(directory, WORKERS) };
  say("the upstream alone");
  results.capacity = await capacity({ ...common, seconds: Math.min(plan.seconds, 3) });

  const all = await startWorkerd(workerd, prepare(directory, [...Object.keys(MODULES), ...WHOLE.map(gated)], upstream));
  results.scenarios = [];
  for (const scenario of SCENARIOS) {
    say(`${scenario.workload}, ${scenario.connections} at once`);
    results.scenarios.push({ ...scenario, results: await throughput({ ...common, process: all, ...scenario }) });
  }
  say("signing");
  results.signing = {
    short: await signing({ process: all, rounds: plan.rounds, bytes: 200, times: 20_000 }),
    long: await signing({ process: all, rounds: plan.rounds, bytes: 500_000, times: 200 }),
  };
  await all.end();

  say("cold starts");
  results.coldStart = await coldStart({ ...common, rounds: plan.starts });
  say("memory");
  results.peakMemory = await peakMemory({ ...common, seconds: Math.min(plan.seconds, 3) });
  results.streamMemory = await streamMemory(common);

  writeFileSync(`${directory}/results.json`, JSON.stringify(results, undefined, 1));
  writeFileSync("benches/results.svg", plot(results));
  const text = report(results);
  writeFileSync("benches/RESULTS.md", text);
  console.log(text);
}

bench().then(
  () => process.exit(),
  (error) => {
    say(error.message);
    process.exit(1);
  },
);
