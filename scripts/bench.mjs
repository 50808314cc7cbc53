// npm run bench [-- --only turn|aws] [--quick | --rounds N --seconds N]
//
// Builds the Worker and its baselines, measures them in one workerd process, and writes the results to
// benches/RESULTS.md, benches/results.svg, benches/TURN.md and benches/AWS.md; with `--only turn`, a turn of Claude Code to
// benches/TURN.md only, and with `--only aws`, Bedrock's own API to benches/AWS.md only. It fails if a measurement fails, but not if a figure misses its target.
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { AWS_WORKERS, checkAws, longRequestMemory, measureAws, startPortkey } from "./bench/aws.mjs";
import { checkTurn } from "./bench/check-turn.mjs";
import { checkResponses, checkSignatures } from "./bench/check.mjs";
import { environment } from "./bench/environment.mjs";
import { checkWrk, load } from "./bench/load.mjs";
import { capacity, coldStart, peakMemory, signing, sizes, streamMemory, throughput, turns } from "./bench/measure.mjs";
import { plot } from "./bench/plot.mjs";
import { MODULES, findWorkerd, prepare, startUpstream, startWorkerd, withAuth } from "./bench/processes.mjs";
import { loadNow, reportAws } from "./bench/report-aws.mjs";
import { report } from "./bench/report.mjs";
import { reportTurn } from "./bench/report-turn.mjs";
import { MESSAGES_WORKERS, TURN, WAYS } from "./bench/turn.mjs";

process.chdir(dirname(dirname(fileURLToPath(import.meta.url))));

const { values: options } = parseArgs({
  options: { only: { type: "string" }, quick: { type: "boolean" }, rounds: { type: "string" }, seconds: { type: "string" } },
});
if (![undefined, "turn", "aws"].includes(options.only)) {
  console.error(`bedrock-edge: --only: expected turn or aws, got ${options.only}`);
  process.exit(1);
}
const plan = {
  rounds: Number(options.rounds ?? (options.quick ? 1 : 5)),
  // In a shorter round, none of 64 streams would end.
  seconds: Number(options.seconds ?? (options.quick ? 3 : 5)),
  warmUp: options.quick ? 1 : 3,
  starts: options.quick ? 3 : 15,
};

/** The Workers in the order of a round. */
const WORKERS = ["bedrock-edge", "aws4fetch", "unsigned", "pass-through"];
/** The Workers that implement the whole function. */
const IMPLEMENTATIONS = WORKERS.slice(0, 3);

const SCENARIOS = [
  ...["short", "token", "long", "stream"].flatMap((workload) => [1, 8, 64].map((connections) => ({ workload, connections }))),
  { workload: "batched", connections: 8 },
];

const say = (line) => console.error(`bedrock-edge: ${line}`);

async function bench() {
  if (process.platform !== "linux") throw new Error(`expected Linux, whose /proc the benchmark reads, got ${process.platform}`);
  await checkWrk();
  const directory = execFileSync("scripts/bench-build", { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] }).trim();
  const workerd = findWorkerd();
  const upstream = await startUpstream(directory);
  const common = { workerd, workers: WORKERS, upstream, directory, ...plan };

  if (options.only !== "turn") await benchAws(common);
  if (options.only === "aws") return;
  await benchTurn(common);
  if (options.only === "turn") return;
  const cases = await checkResponses(workerd, directory, IMPLEMENTATIONS, upstream);
  say(`${IMPLEMENTATIONS.join(", ")}: the same responses to ${cases} requests`);
  await checkSignatures(workerd, directory, IMPLEMENTATIONS.slice(0, 2));
  say(`${IMPLEMENTATIONS.slice(0, 2).join(", ")}: the stand-in accepts the signatures`);

  const results = { plan, cases, environment: environment(workerd), sizes: sizes(directory, WORKERS) };
  say("the upstream alone");
  results.capacity = await capacity({ ...common, seconds: Math.min(plan.seconds, 3) });

  const all = await startWorkerd(workerd, prepare(directory, [...Object.keys(MODULES), ...IMPLEMENTATIONS.map(withAuth)], upstream));
  results.scenarios = [];
  for (const scenario of SCENARIOS) {
    say(`${scenario.workload}, concurrency ${scenario.connections}`);
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

async function benchTurn({ workerd, upstream, directory }) {
  const implementations = MESSAGES_WORKERS.slice(0, 2);
  const cases = await checkTurn(workerd, directory, implementations, upstream);
  say(`${implementations.join(", ")}: the same calls of Bedrock, responses and log lines for ${cases} requests`);
  const results = { plan, cases, environment: environment(workerd), capacity: {}, scenarios: [] };
  for (const [way, { variables, upstreamPath }] of Object.entries(WAYS)) {
    const alone = await load(upstream.url, { ...TURN, upstreamPath }, { connections: 8, seconds: Math.min(plan.seconds, 3), directory });
    results.capacity[way] = alone.rate;
    const process = await startWorkerd(workerd, prepare(directory, MESSAGES_WORKERS, upstream, variables));
    for (const connections of [1, 8]) {
      say(`a turn of Claude Code, ${way}, concurrency ${connections}`);
      const measured = await turns({ workers: MESSAGES_WORKERS, process, upstream, directory, connections, ...plan });
      results.scenarios.push({ way, connections, results: measured });
    }
    await process.end();
  }
  writeFileSync(`${directory}/turn.json`, JSON.stringify(results, undefined, 1));
  const text = reportTurn(results);
  writeFileSync("benches/TURN.md", text);
  console.log(text);
}

async function benchAws({ workerd, upstream, directory }) {
  const before = loadNow();
  const portkey = await startPortkey();
  const process = await startWorkerd(workerd, prepare(directory, AWS_WORKERS, upstream));
  await checkAws(process.urls, upstream);
  say(`${AWS_WORKERS.join(", ")}: the bytes of the upstream`);
  say("Bedrock's own API");
  const measured = await measureAws({ process, portkey, upstream, directory, ...plan });
  await process.end();
  portkey?.end();
  say("memory of a request of 20 MB");
  const memory = await longRequestMemory({ workerd, upstream, directory, rounds: plan.rounds });
  const results = { plan, environment: environment(workerd), load: [before, loadNow()], results: measured, memory };
  writeFileSync(`${directory}/aws.json`, JSON.stringify(results, undefined, 1));
  const text = reportAws(results);
  writeFileSync("benches/AWS.md", text);
  console.log(text);
}

bench().then(
  () => process.exit(),
  (error) => {
    say(error.message);
    process.exit(1);
  },
);
