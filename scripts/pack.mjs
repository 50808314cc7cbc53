// npm run pack [-- --out FOLDER]
//
// Makes the npm package of what scripts/build has built. The same sources make the same bytes.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, cpSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { licences } from "./licences.mjs";

process.chdir(dirname(dirname(fileURLToPath(import.meta.url))));
const { out } = parseArgs({ options: { out: { type: "string", default: "build" } } }).values;

const run = (command, ...args) => execFileSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] }).trim();
const sha256 = (path) => createHash("sha256").update(readFileSync(path)).digest("hex");
const json = (value) => `${JSON.stringify(value, null, 2)}\n`;

run("scripts/build");
const stage = join("build", "package");
rmSync(stage, { recursive: true, force: true });
mkdirSync(stage, { recursive: true });
for (const [from, to] of [
  ["build/npm/index.js", "index.js"],
  ["build/index_bg.wasm", "index_bg.wasm"],
  ["npm/index.d.ts", "index.d.ts"],
  ["npm/README.md", "README.md"],
  ["npm/stand-in.js", "stand-in.js"],
  ["npm/template", "template"],
  ["LICENSE-APACHE", "LICENSE-APACHE"],
  ["LICENSE-MIT", "LICENSE-MIT"],
]) {
  cpSync(from, join(stage, to), { recursive: true });
}
writeFileSync(join(stage, "LICENSES-OF-CRATES.txt"), licences());

const version = /^version = "(.*)"$/m.exec(readFileSync("Cargo.toml", "utf8"))[1];
const { name, ...rest } = JSON.parse(readFileSync("npm/package.json", "utf8"));
writeFileSync(join(stage, "package.json"), json({ name, version, ...rest }));
writeFileSync(join(stage, "provenance.json"), json(provenance(version)));
normalize(stage);

mkdirSync(out, { recursive: true });
const [{ filename }] = JSON.parse(run("npm", "pack", `./${stage}`, "--pack-destination", out, "--json", "--ignore-scripts"));
const tarball = resolve(out, filename);
console.log(`${sha256(tarball)}  ${tarball}`);

/** Describes what the package was built from, and with what. */
function provenance(version) {
  const rustc = run("bash", "-c", ". scripts/toolchain.sh && for_wasm rustc --version");
  const tools = JSON.parse(readFileSync("package-lock.json", "utf8")).packages;
  const wasmBindgen = /name = "wasm-bindgen"\nversion = "(.*)"/.exec(readFileSync("Cargo.lock", "utf8"))[1];
  const files = readdirSync(stage, { recursive: true }).filter((file) => file !== "package.json" && statSync(join(stage, file)).isFile());
  return {
    version,
    ...commit(),
    tools: {
      rustc,
      "wasm-bindgen": wasmBindgen,
      binaryen: tools["node_modules/binaryen"].version,
      esbuild: tools["node_modules/esbuild"].version,
    },
    sources: Object.fromEntries(["Cargo.lock", "package-lock.json"].map((file) => [file, sha256(file)])),
    sha256: Object.fromEntries(files.sort().map((file) => [file, sha256(join(stage, file))])),
  };
}

/** Outside of a repository there is no commit. */
function commit() {
  try {
    const git = (...args) => execFileSync("git", args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
    return { commit: git("rev-parse", "HEAD"), has_changes: git("status", "--porcelain") !== "" };
  } catch {
    return {};
  }
}

/** Gives every file the same permissions, whatever the umask is. */
function normalize(path) {
  if (!statSync(path).isDirectory()) return chmodSync(path, 0o644);
  chmodSync(path, 0o755);
  readdirSync(path).forEach((entry) => normalize(join(path, entry)));
}
