// npm run release -- VERSION    sets the version, in a working tree without changes
// npm run release               makes the files of the release, of a commit that has its version in CHANGELOG.md
//
// It publishes nothing. The files are build/release/: the npm package, the crate, and their checksums. The same commit
// makes the same bytes.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

process.chdir(dirname(dirname(fileURLToPath(import.meta.url))));

const OUT = "build/release";
const run = (command, ...args) => execFileSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] }).trim();
const current = /^version = "(.*)"$/m.exec(readFileSync("Cargo.toml", "utf8"))[1];
const [version] = process.argv.slice(2);

if (run("git", "status", "--porcelain") !== "") fail("expected a working tree without changes: commit them, or stash them");
if (version === undefined) make();
else set(version);

function fail(problem) {
  console.error(`bedrock-edge: ${problem}`);
  process.exit(1);
}

/** Replaces a text of a file, which must have it. */
function edit(file, from, to) {
  const text = readFileSync(file, "utf8");
  const edited = text.replaceAll(from, to);
  if (edited === text) throw new Error(`${file} does not have ${from}`);
  writeFileSync(file, edited);
}

/** Lists the files of the repository that have a text. */
function filesWith(text, ...patterns) {
  return run("git", "grep", "--files-with-matches", "--fixed-strings", "-e", text, "--", ...patterns).split("\n");
}

function set(version) {
  if (!/^\d+\.\d+\.\d+$/.test(version)) fail(`expected a version such as 1.2.3, got ${version}`);
  const parts = (text) => text.split(".").map(Number);
  const isHigher = parts(version).map((part, i) => part - parts(current)[i]).find((difference) => difference !== 0) > 0;
  if (!isHigher && released(version)) fail(`expected a version above ${current}, got ${version}`);
  const changes = /\n## Unreleased\n([^]*?)(?=\n## |$)/.exec(readFileSync("CHANGELOG.md", "utf8"));
  if (!changes?.[1].trim()) fail("expected changes below Unreleased in CHANGELOG.md, got none");

  const date = new Date().toISOString().slice(0, 10);
  edit("CHANGELOG.md", "\n## Unreleased\n", `\n## Unreleased\n\n## ${version} - ${date}\n`);
  if (version !== current) {
    edit("Cargo.toml", /^version = ".*"$/m.exec(readFileSync("Cargo.toml", "utf8"))[0], `version = "${version}"`);
    const locked = (version) => `name = "bedrock-edge"\nversion = "${version}"`;
    for (const file of filesWith('name = "bedrock-edge"', "*Cargo.lock")) edit(file, locked(current), locked(version));
    const tarball = (version) => `bedrock-edge-${version}.tgz`;
    for (const file of filesWith(tarball(current), "*.md", "*.json")) edit(file, tarball(current), tarball(version));
  }
  console.log(`The version is ${version}. Run 'npm test', commit the changes, then run 'npm run release'.`);
}

function released(version) {
  return readFileSync("CHANGELOG.md", "utf8").includes(`\n## ${version} - `);
}

function make() {
  if (!released(current)) fail(`expected a section ${current} in CHANGELOG.md: run 'npm run release -- ${current}'`);
  rmSync(OUT, { recursive: true, force: true });
  mkdirSync(OUT, { recursive: true });
  run("node", "scripts/pack.mjs", "--out", OUT);
  // `npm test` has built it.
  run("cargo", "package", "--quiet", "--no-verify", "--locked", "--package=bedrock-edge", "--all-features");
  const crate = `bedrock-edge-${current}.crate`;
  copyFileSync(join(process.env.CARGO_TARGET_DIR ?? "target", "package", crate), join(OUT, crate));
  const sha256 = (file) => createHash("sha256").update(readFileSync(join(OUT, file))).digest("hex");
  const sums = [`bedrock-edge-${current}.tgz`, crate].map((file) => `${sha256(file)}  ${file}\n`).join("");
  writeFileSync(join(OUT, "SHA256SUMS"), sums);
  process.stdout.write(`${OUT}:\n${sums}`);
}
