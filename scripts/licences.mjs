// Writes the licences of the crates that are compiled into the Worker's wasm.
import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";

const LICENCE = /^(licen[cs]e|copying|copyright|notice|unlicense)/i;

/** The standard library comes with the compiler, and Cargo does not list it. */
const STANDARD_LIBRARY = `The Rust standard library
License: MIT OR Apache-2.0
Copyright (c) The Rust Project Contributors, https://github.com/rust-lang/rust`;

/** Returns the text of a licence for a crate whose package has none. */
function standardText(license, holder) {
  if (license !== "MIT") throw new Error(`expected a file with the licence of a crate, got none: ${holder}, ${license}`);
  const [, terms] = /Copyright [^\n]*\n([^]*)/.exec(readFileSync("LICENSE-MIT", "utf8"));
  return `MIT License\n\nCopyright (c) ${holder}\n${terms}`.trim();
}

/** Lists the crates, without those that only run while others are compiled. */
function crates() {
  const tree = cargo("tree", "--package=bedrock-edge", "--features=entry", "--target=wasm32-unknown-unknown", "--edges=normal,no-proc-macro", "--prefix=none", "--format={p}");
  const named = tree.split("\n").map((line) => /^(\S+) v(\S+)/.exec(line)).filter(Boolean);
  return new Set(named.map(([, name, version]) => `${name} ${version}`));
}

function cargo(...args) {
  return execFileSync("cargo", [...args, "--locked"], { encoding: "utf8", maxBuffer: 1 << 28 });
}

/** Returns the text of the file: the list of crates, then each text of a licence with the crates that have it. */
export function licences() {
  const { packages } = JSON.parse(cargo("metadata", "--format-version=1", "--features=entry", "--filter-platform=wasm32-unknown-unknown"));
  const known = new Map(packages.map((it) => [`${it.name} ${it.version}`, it]));
  const list = [];
  const texts = new Map();
  for (const id of [...crates()].sort()) {
    const { name, license, repository, manifest_path } = known.get(id);
    if (name === "bedrock-edge") continue;
    if (!license) throw new Error(`the crate ${id} declares no licence`);
    list.push(`${id}\nLicense: ${license}\n${repository ?? ""}`.trim());
    const folder = dirname(manifest_path);
    const files = readdirSync(folder).filter((file) => LICENCE.test(file)).sort();
    const found = files.map((file) => readFileSync(join(folder, file), "utf8").replaceAll("\r\n", "\n").trim());
    if (found.length === 0) found.push(standardText(license, `the authors of ${name}, ${repository}`));
    for (const text of found) {
      // The same text can have other line breaks.
      const key = text.replace(/\s+/g, " ");
      const users = texts.get(key) ?? { text, crates: [] };
      users.crates.push(id);
      texts.set(key, users);
    }
  }
  const line = "-".repeat(80);
  const full = [...texts.values()].map(({ text, crates }) => `${line}\n${[...new Set(crates)].join(", ")}\n${line}\n\n${text}`);
  return `The wasm of bedrock-edge contains these crates.\n\n${[...list, STANDARD_LIBRARY].join("\n\n")}\n\n${full.join("\n\n")}\n`;
}
