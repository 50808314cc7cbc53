// benches/RESULTS.md: what was measured, how, and what came of it.
import { readFileSync } from "node:fs";
import { ratio, summary } from "./figures.mjs";
import { WORKLOADS } from "./load.mjs";

const OURS = "bedrock-edge";
const THEIRS = "aws4fetch";
const TITLES = {
  short: "A short prompt",
  gated: "A short prompt with an API token",
  long: "A prompt of 500 KB",
  stream: "A stream of 300 frames, each written by itself",
  batched: "The same stream in writes of 16 KiB",
};

const number = (value, digits) => value.toFixed(digits ?? (value >= 100 ? 0 : value >= 10 ? 1 : 2));
const spread = ({ median, min, max }, digits) => `${number(median, digits)} (${number(min, digits)}–${number(max, digits)})`;
const table = (head, rows) => [head, head.map((_, index) => (index === 0 ? "---" : "---:")), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");

export function report(results) {
  return `${preamble(results)}
## The bars

${bars(results)}

![Throughput of each Worker, beside that of aws4fetch](results.svg)

${readFileSync("benches/limits.md", "utf8").trim()}

${Object.keys(TITLES).map((workload) => throughput(workload, results)).join("\n\n")}

## Signing alone

Microseconds for a signature, in one workerd process. aws4fetch's is no more than its \`AwsV4Signer\`,
with a cache of signing keys. All are of one endpoint, and most of one second: bedrock-edge keeps what such
requests share (\`src/sign/post.rs\`), and the first one in a second takes about twice as long.

${signing(results)}

## The rest

${rest(results)}

## The upstream is not what is measured

${upstream(results)}
`;
}

const preamble = ({ plan, cases, environment }) => `# Results

\`npm run bench\` writes this page.${
  plan.rounds < 5 || plan.seconds < 5
    ? `

**Preliminary: ${plan.rounds} round${plan.rounds === 1 ? "" : "s"} of ${plan.seconds} s, where a full run has 5 of 5 s. With 64 streams at once so
short a round holds about one wave of answers, and its figures there mean little.**`
    : ""
}

${environment}

- **${OURS}** is this Worker, as \`npm run build\` makes it.
- **${THEIRS}** is the same job in JavaScript, signed with aws4fetch: one client an isolate, with its
  cache of signing keys; frames are decoded with @smithy/eventstream-codec.
- **unsigned** is the same without the signature.
- **pass-through** hands request and answer on: what workerd takes by itself.

The first three do the same job (validation, request id, headers, log line, tokens, stop reason,
comments in idle streams, time limits, repeated calls, the caller who leaves): before it measures, the benchmark sends them ${cases} requests, good and bad, and
compares status, headers, body and log line. Their sources are in \`workers/\`; esbuild bundles and
minifies them. The JavaScript does a little less: it does not look for keys that are there twice,
nesting that is too deep, invalid UTF-8, quoted prompts in the log, or characters divided over deltas.
It sends what it makes of a frame at once; bedrock-edge sends together what comes within 16 ms.

All run in one workerd process, which has one thread for JavaScript, and call the same upstream
(\`upstream/\`, Rust) over HTTP. wrk sends the load from one thread. After ${plan.warmUp} s of warm-up each,
they take turns: ${plan.rounds} round${plan.rounds === 1 ? "" : "s"} of ${plan.seconds} s each. A figure is the median of the rounds, with the lowest and the
highest; a ratio is made within a round. What workerd prints goes to /dev/null. Processor time
is that of the whole workerd process, and depends less on what else the machine does.

Frames a second are not counted but derived: connections, divided by the mean time of the answers
that ended, times 300. Where 64 streams end together, counting those that ended within a round says
more about the round than about the Worker. Processor time a stream is made from the same number.
`;

// --- Throughput ---------------------------------------------------------------------------------

const find = ({ scenarios }, workload, connections) => scenarios.find((it) => it.workload === workload && it.connections === connections).results;
const series = (results, worker, pick) => results[worker].map(pick);

const RATE = ({ rate }) => rate;
const P99 = ({ p99 }) => p99;
const CPU = ({ cpu }) => cpu.workerd.perRequest;

function throughput(workload, { scenarios }) {
  const { frames = 1 } = WORKLOADS[workload];
  const rows = scenarios
    .filter((scenario) => scenario.workload === workload)
    .flatMap(({ connections, results }) =>
      Object.keys(results).map((worker) => [
        worker,
        String(connections),
        spread(summary(series(results, worker, ({ rate }) => rate * frames)), 0),
        worker === THEIRS ? "1" : spread(ratio(series(results, worker, RATE), series(results, THEIRS, RATE)), 2),
        number(summary(series(results, worker, ({ p50 }) => p50)).median, 2),
        number(summary(series(results, worker, P99)).median, 2),
        spread(summary(series(results, worker, CPU)), 0),
      ]),
    );
  const head = ["", "at once", frames > 1 ? "frames/s" : "requests/s", `of ${THEIRS}'s`, "p50, ms", "p99, ms", frames > 1 ? "CPU µs a stream" : "CPU µs a request"];
  return `## ${TITLES[workload]}\n\n${table(head, rows)}`;
}

// --- The bars -----------------------------------------------------------------------------------

function bars(results) {
  const CONNECTIONS = [1, 8, 64];
  const against = (workload, connections, other, pick) => {
    const found = find(results, workload, connections);
    return ratio(series(found, OURS, pick), series(found, other, pick));
  };
  const rows = [];
  const add = (what, bar, { median, min, max }, isMet, digits = 2) =>
    rows.push([what, bar, spread({ median, min, max }, digits), isMet(median) ? "met" : "**missed**"]);
  const atLeast = (bar) => (value) => value >= bar;
  const below = (bar) => (value) => value < bar;

  for (const at of CONNECTIONS) add(`short prompt, throughput, of ${THEIRS}'s, ${at} at once`, "≥ 1.4", against("short", at, THEIRS, RATE), atLeast(1.4));
  for (const at of CONNECTIONS) add(`the same with an API token, ${at} at once`, "≥ 1.4", against("gated", at, THEIRS, RATE), atLeast(1.4));
  for (const at of CONNECTIONS) add(`short prompt, p99, of ${THEIRS}'s, ${at} at once`, "≤ 1", against("short", at, THEIRS, P99), (value) => value <= 1);
  for (const at of CONNECTIONS) add(`short prompt, throughput, of the unsigned's, ${at} at once`, "≥ 0.9", against("short", at, "unsigned", RATE), atLeast(0.9));
  for (const at of CONNECTIONS) add(`500 KB prompt, throughput, of ${THEIRS}'s, ${at} at once`, "≥ 1.0", against("long", at, THEIRS, RATE), atLeast(1));
  for (const at of CONNECTIONS) add(`stream, frames/s, of ${THEIRS}'s, ${at} at once`, "≥ 1.5", against("stream", at, THEIRS, RATE), atLeast(1.5));
  add(`stream in batches, frames/s, of ${THEIRS}'s, 8 at once`, "≥ 1.5", against("batched", 8, THEIRS, RATE), atLeast(1.5));
  add(`signing a short request, speed, of ${THEIRS}'s`, "≥ 10", signingRatio(results.signing.short), atLeast(10));
  const { coldStart, streamMemory } = results;
  const late = summary(coldStart[OURS].map((milliseconds, round) => milliseconds - coldStart[THEIRS][round]));
  add(`cold start, ms after ${THEIRS}'s`, "≤ 15", late, (value) => value <= 15, 1);
  const kib = results.sizes[OURS].gzipped / 1024;
  rows.push(["upload, gzipped, KiB", "≤ 250", number(kib, 1), kib <= 250 ? "met" : "**missed**"]);
  add("memory, KiB an open stream", "< 64", summary(streamMemory[OURS]), below(64), 0);
  return table(["", "bar", "measured", ""], rows);
}

// --- The rest -----------------------------------------------------------------------------------

const signingRatio = (of) => ratio(of[`sign-${THEIRS}`], of[`sign-${OURS}`]);

function signing({ signing }) {
  const row = (what, of) => [what, spread(summary(of[`sign-${OURS}`])), spread(summary(of[`sign-${THEIRS}`])), spread(signingRatio(of), 2)];
  return table(["body", OURS, THEIRS, "times as fast"], [row("200 bytes", signing.short), row("500,000 bytes", signing.long)]);
}

function rest({ sizes, coldStart, peakMemory, streamMemory }) {
  const rows = Object.keys(sizes).map((worker) => [
    worker,
    number(sizes[worker].gzipped / 1024, 1),
    number(sizes[worker].raw / 1024, 1),
    spread(summary(coldStart[worker]), 1),
    number(peakMemory[worker] / 1024, 0),
    spread(summary(streamMemory[worker]), 0),
  ]);
  const head = ["", "upload, gzipped, KiB", "raw, KiB", "cold start, ms", "peak memory, MiB", "KiB an open stream"];
  return `${table(head, rows)}

- Cold start: from the start of a workerd process with this Worker alone to the end of its first answer.
- Peak memory: the most that such a process had resident, after short prompts 64 at once and long
  ones 8 at once.
- Open streams: what a process grows by from 100 to 400 streams that have begun and do not go on,
  for each. pass-through shows how much of it is workerd's own: two connections and their buffers.`;
}

function upstream({ capacity, scenarios }) {
  const rows = scenarios.map(({ workload, connections, results }) => {
    const all = Object.values(results).flat();
    const fastest = Math.max(...all.map(RATE));
    const cores = (process) => spread(summary(all.map(({ cpu }) => cpu[process].cores)), 2);
    const ours = summary(series(results, OURS, ({ cpu }) => cpu.workerd.cores));
    return [TITLES[workload], String(connections), number(capacity[workload], 0), number(fastest, 0), spread(ours, 2), cores("upstream")];
  });
  const head = ["", "at once", "answers/s of the upstream alone, 64 at once", "the most asked of it", `cores that workerd used under ${OURS}`, "cores that the upstream used, any Worker"];
  return `${table(head, rows)}`;
}
