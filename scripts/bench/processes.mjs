// Starts and ends the upstreams and workerd, and reads their processor time and memory.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";

const started = new Set();

const directories = [];

process.on("exit", () => {
  for (const child of started) child.kill("SIGKILL");
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => process.exit(1));

function start(command, args, options) {
  const child = spawn(command, args, options);
  started.add(child);
  child.on("exit", () => started.delete(child));
  return child;
}

async function end(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}

async function startServer(directory, name, args = []) {
  const child = start(join(directory, name), args, { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = await once(createInterface({ input: child.stdout }), "line");
  return { pid: child.pid, url: `http://127.0.0.1:${/\d+$/.exec(line)[0]}`, end: () => end(child) };
}

/** Starts the upstream of the measurements, which validates nothing. */
export const startUpstream = (directory) => startServer(directory, "bench-upstream");

/** Starts the stand-in for Bedrock, which verifies every signature. */
export const startStub = (directory) => startServer(directory, "bedrock-stub", ["--port", "0"]);

export function findWorkerd() {
  // The binary in the npm package for this platform. The command in .bin is a Node.js script.
  const packages = readdirSync("node_modules/@cloudflare").filter((name) => name.startsWith("workerd-"));
  return `node_modules/@cloudflare/${packages[0]}/bin/workerd`;
}

const quoted = (text) => JSON.stringify(text); // Cap'n Proto has C's string literals

/** The modules of each Worker. The first is its entry point. */
export const MODULES = {
  "bedrock-edge": ["index.js", "index_bg.wasm"],
  aws4fetch: ["aws4fetch.js"],
  unsigned: ["unsigned.js"],
  "messages-aws4fetch": ["messages-aws4fetch.js"],
  "pass-through": ["pass-through.js"],
  "aws-smithy": ["aws-smithy.js"],
  "aws-pass-through": ["aws-pass-through.js"],
  "sign-bedrock-edge": ["sign-bedrock-edge.js", "signer.wasm"],
  "sign-aws4fetch": ["sign-aws4fetch.js"],
};

/** The token that the Workers of withAuth() accept. */
export const TOKEN = "bench-token-of-the-length-that-npm-run-token-makes";

/** The name of the variant of a Worker that authenticates the caller. */
export const withAuth = (worker) => `${worker}, with auth`;

const modulesOf = (worker) => MODULES[worker.replace(/, with auth$/, "")];

// https://github.com/cloudflare/workerd/blob/main/src/workerd/server/workerd.capnp
function configuration(workers, upstream, variables, v8Flags) {
  const date = /^compatibility_date = "(.*)"$/m.exec(readFileSync("wrangler.toml", "utf8"))[1];
  // They cost time, so every Worker has those of production.
  const flags = /^compatibility_flags = \[(.*)\]$/m.exec(readFileSync("wrangler.toml", "utf8"))[1];
  const bindings = {
    AWS_ENDPOINT_URL_BEDROCK_RUNTIME: upstream.url,
    AWS_ACCESS_KEY_ID: "AKIAIOSFODNN7EXAMPLE",
    AWS_SECRET_ACCESS_KEY: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    ...variables,
  };
  const authBindings = (worker) => worker.endsWith(", with auth") ? { API_TOKENS: `bench:${createHash("sha256").update(TOKEN).digest("hex")}` } : { AUTH: "open" };
  const binding = ([name, text]) => `(name = ${quoted(name)}, text = ${quoted(text)})`;
  const module = (name) =>
    name.endsWith(".wasm")
      ? `(name = ${quoted(`./${name}`)}, wasm = embed ${quoted(name)})`
      : `(name = ${quoted(name)}, esModule = embed ${quoted(name)})`;
  const service = (worker) => `(name = ${quoted(worker)}, worker = (
      modules = [${modulesOf(worker).map(module).join(", ")}],
      compatibilityDate = ${quoted(date)},
      compatibilityFlags = [${flags}],
      bindings = [${Object.entries({ ...bindings, ...authBindings(worker) }).map(binding).join(", ")}],
      globalOutbound = "net",
    ))`;
  const socket = (worker) => `(name = ${quoted(worker)}, address = "127.0.0.1:0", http = (), service = ${quoted(worker)})`;
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    ${workers.map(service).join(",\n    ")},
    (name = "net", network = (allow = ["local"])),
  ],
  sockets = [${workers.map(socket).join(", ")}],
  v8Flags = [${v8Flags.map(quoted).join(", ")}],
);
`;
}

/** Creates a directory with the modules and the configuration of these Workers. */
export function prepare(directory, workers, upstream, variables = {}, v8Flags = []) {
  const preparedDirectory = mkdtempSync(join(directory, "workerd-"));
  directories.push(preparedDirectory);
  for (const name of workers.flatMap(modulesOf)) copyFileSync(join(directory, name), join(preparedDirectory, name));
  const config = join(preparedDirectory, "config.capnp");
  writeFileSync(config, configuration(workers, upstream, variables, v8Flags));
  return { directory: preparedDirectory, config, workers };
}

/** Starts workerd, with the command `under` in front of its own, and returns when all of its sockets listen. The lines of its output go to `onLine`. */
export async function startWorkerd(workerd, { config, workers }, { onLine, under = [] } = {}) {
  const output = onLine ? "pipe" : "ignore";
  const [command, ...args] = [...under, workerd, "serve", "--control-fd=3", config];
  const child = start(command, args, { stdio: ["ignore", output, under.length > 0 ? "ignore" : "inherit", "pipe"] });
  if (onLine) createInterface({ input: child.stdout }).on("line", onLine);
  const urls = {};
  for await (const line of createInterface({ input: child.stdio[3] })) {
    const { event, socket, port } = JSON.parse(line);
    if (event === "listen") urls[socket] = `http://127.0.0.1:${port}/`;
    if (Object.keys(urls).length === workers.length) {
      return { pid: child.pid, urls, end: () => end(child) };
    }
  }
  throw new Error("workerd exited before it listened");
}

/** The processor time of a process in microseconds, with a resolution of 10 ms. */
export function cpuMicroseconds(pid) {
  // The second field is a name in parentheses, which may contain spaces.
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\) /s, "").split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}

/** The VmRSS or VmHWM of a process, in KiB. */
export function memoryKib(pid, name) {
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]);
}
