// npm run size
//
// Prints the size of the upload, and fails if it is above the limit.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const LIMIT = 400 * 1024;

if (!existsSync("build/index.js")) {
  console.error("bedrock-edge: expected build/index.js, got none: run 'npm run build'");
  process.exit(1);
}

const kib = (bytes) => `${(bytes / 1024).toFixed(1)} KiB`.padStart(11);
const row = (name, raw, gzipped) => console.log(`${name.padEnd(20)}${kib(raw)}${kib(gzipped)} gzipped`);

const total = { raw: 0, gzipped: 0 };
for (const name of readdirSync("build").filter((name) => /\.(js|wasm)$/.test(name))) {
  const bytes = readFileSync(`build/${name}`);
  const gzipped = gzipSync(bytes).length;
  total.raw += bytes.length;
  total.gzipped += gzipped;
  row(`build/${name}`, bytes.length, gzipped);
}
row("total", total.raw, total.gzipped);

if (total.gzipped > LIMIT) {
  console.error(`bedrock-edge: expected at most ${kib(LIMIT).trim()} gzipped, got ${kib(total.gzipped).trim()}`);
  process.exit(1);
}
