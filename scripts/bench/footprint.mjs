// node scripts/bench/footprint.mjs
//
// The size and the cold start of the npm package in other Workers, beside the deployed Worker. Needs Hono, which it
// installs into a folder of its own.
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { coldStart, sizes } from "./measure.mjs";
import { MODULES, findWorkerd, startUpstream } from "./processes.mjs";

const ROUNDS = 20;

process.chdir(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));
const run = (command, args, options) => execFileSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"], ...options }).trim();

/** Each Worker responds at the path `/`. */
const WORKERS = {
  "the package alone": `export { default } from "bedrock-edge";`,
  "the package in Hono": `
    import { Hono } from "hono";
    import { bedrock } from "bedrock-edge";
    export default new Hono().all("/*", (c) => bedrock().fetch(c.req.raw, c.env, c.executionCtx));`,
  "Hono alone": `
    import { Hono } from "hono";
    export default new Hono().all("/*", (c) => c.text("hi"));`,
  "Hono, which imports the package": `
    import { Hono } from "hono";
    import { bedrock } from "bedrock-edge";
    export default new Hono()
      .all("/ai/*", (c) => bedrock().fetch(c.req.raw, c.env, c.executionCtx))
      .all("/*", (c) => c.text("hi"));`,
};

const directory = run("scripts/bench-build", []);
const project = join(directory, "footprint");
mkdirSync(project, { recursive: true });
run("node", ["scripts/pack.mjs", "--out", project]);
writeFileSync(join(project, "package.json"), "{}");
const [tarball] = run("sh", ["-c", "ls *.tgz"], { cwd: project }).split("\n");
run("npm", ["install", "--no-audit", "--no-fund", "--loglevel=error", `./${tarball}`, "hono@4.13.19"], { cwd: project });
const wasm = "index_bg.wasm";
copyFileSync(join("build", wasm), join(directory, wasm));
Object.entries(WORKERS).forEach(([worker, source], index) => {
  const file = `footprint-${index}.js`;
  writeFileSync(join(project, "source.js"), source);
  run(resolve("node_modules/.bin/esbuild"), ["source.js", "--bundle", "--minify", "--format=esm", "--external:cloudflare:*", "--external:*.wasm", `--outfile=../${file}`], { cwd: project });
  MODULES[worker] = source.includes("bedrock-edge") ? [file, wasm] : [file];
});

const workers = ["bedrock-edge", ...Object.keys(WORKERS)];
const upstream = await startUpstream(directory);
const starts = await coldStart({ workerd: findWorkerd(), workers, upstream, directory, rounds: ROUNDS });
const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
console.log("KiB gzipped, and ms to the first response (median)");
for (const [worker, { gzipped }] of Object.entries(sizes(directory, workers))) {
  console.log(`${worker.padEnd(34)}${(gzipped / 1024).toFixed(1).padStart(8)}${median(starts[worker]).toFixed(1).padStart(8)}`);
}
process.exit();
