// Draws the throughputs, relative to aws4fetch, as a bar chart.
import { ratio } from "./figures.mjs";

const COLOURS = { "bedrock-edge": "#c2410c", aws4fetch: "#2563eb", unsigned: "#64748b", "pass-through": "#cbd5e1" };
const TITLES = { short: "short prompt", token: "with an API token", long: "500 KB prompt", stream: "stream, one frame per write", batched: "stream in batches" };
const WIDTH = 960;
const HEIGHT = 380;
const LEFT = 46;
const TOP = 54;
const BOTTOM = 300;
const GAP = 14;

export function plot({ scenarios, plan }) {
  const bars = scenarios.map(({ workload, connections, results }) => {
    const rates = (worker) => results[worker].map(({ rate }) => rate);
    const ratios = Object.keys(COLOURS).map((worker) => ({ worker, ...ratio(rates(worker), rates("aws4fetch")) }));
    return { workload, connections, ratios };
  });
  // The bars of pass-through are far above the others for streams, and are cut off.
  const top = Math.ceil(2 * Math.max(1.5, ...bars.flatMap(({ ratios }) => ratios.filter(({ worker }) => worker !== "pass-through").map(({ max }) => max)))) / 2;
  const y = (value) => BOTTOM - ((BOTTOM - TOP) * Math.min(value, top)) / top;
  const group = (WIDTH - LEFT - 10) / bars.length;
  const width = (group - GAP) / 4;
  const out = [];
  const text = (x, y, anchor, content, more = "") => out.push(`<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}"${more}>${content}</text>`);
  const line = (x1, y1, x2, y2, stroke) => out.push(`<line x1="${x1.toFixed(1)}" y1="${y1.toFixed(1)}" x2="${x2.toFixed(1)}" y2="${y2.toFixed(1)}" stroke="${stroke}"/>`);

  text(LEFT, 20, "start", "Throughput, aws4fetch = 1", ' font-size="14" font-weight="bold"');
  Object.entries(COLOURS).forEach(([worker, colour], index) => {
    const x = WIDTH - 430 + 110 * index;
    out.push(`<rect x="${x}" y="10" width="11" height="11" fill="${colour}"/>`);
    text(x + 16, 20, "start", worker);
  });
  for (let value = 0; value <= top; value += 0.5) {
    line(LEFT, y(value), WIDTH - 10, y(value), value === 1 ? "#475569" : "#e2e8f0");
    text(LEFT - 6, y(value) + 4, "end", value.toFixed(1));
  }
  bars.forEach(({ workload, connections, ratios }, at) => {
    const left = LEFT + group * at + GAP / 2;
    ratios.forEach(({ worker, median, min, max }, index) => {
      const x = left + width * index;
      out.push(`<rect x="${x.toFixed(1)}" y="${y(median).toFixed(1)}" width="${(width - 2).toFixed(1)}" height="${(BOTTOM - y(median)).toFixed(1)}" fill="${COLOURS[worker]}"/>`);
      const middle = x + width / 2 - 1;
      if (max <= top) line(middle, y(min), middle, y(max), "#0f172a");
      text(middle, y(Math.max(max, median)) - 4, "middle", median.toFixed(median < 9.95 ? 2 : 0), ' font-size="9"');
    });
    text(left + group / 2 - GAP / 2, BOTTOM + 16, "middle", String(connections));
    const first = bars.findIndex((bar) => bar.workload === workload);
    if (first === at) {
      const count = bars.filter((bar) => bar.workload === workload).length;
      const middle = LEFT + group * (at + count / 2);
      const words = count > 1 ? [`${TITLES[workload]}`] : TITLES[workload].split(/ (?=in )/);
      words.forEach((words, index) => text(middle, BOTTOM + 34 + 14 * index, "middle", words));
      if (at > 0) line(LEFT + group * at, TOP, LEFT + group * at, BOTTOM + 40, "#cbd5e1");
    }
  });
  const rounds = plan.rounds === 1 ? "one round" : `median of ${plan.rounds} rounds, with minimum and maximum`;
  text(LEFT, HEIGHT - 14, "start", `Below each group: number of concurrent connections. ${rounds[0].toUpperCase()}${rounds.slice(1)}.`);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="11" fill="#0f172a">
<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>
${out.join("\n")}
</svg>
`;
}
