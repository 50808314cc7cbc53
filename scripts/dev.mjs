// npm run dev [-- wrangler's options]
//
// Sets up, starts the Bedrock stand-in when .dev.vars points there, runs the Worker under
// `wrangler dev`, and prints a curl line that works. When it ends, all that it started ends.
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { createConnection, createServer } from "node:net";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
process.chdir(root);

const say = (line) => console.error(`bedrock-edge: ${line}`);

// --- Ending -------------------------------------------------------------------------------------

const running = new Set();
let ending = false;

/** Ends everything, then this process: with an exit code, or by the signal that it got. */
async function end(how) {
  if (ending) return new Promise(() => {}); // never: whoever waits has nothing left to do
  ending = true;
  for (const child of running) child.stop();
  await Promise.all([...running].map((child) => child.exited));
  if (typeof how === "number") process.exit(how);
  process.removeAllListeners(how);
  // By the signal, so that npm does the same in its turn instead of reporting an error.
  process.kill(process.pid, how);
}

async function fail(line) {
  say(line);
  await end(1);
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => end(signal));

// npm passes on neither SIGHUP nor its own death.
const npm = process.ppid;
setInterval(() => process.ppid !== npm && end("SIGHUP"), 250).unref();

// A closed pipe (`npm run dev | head`) must not end this process before its children.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});

function track(child, stop) {
  child.stop = stop;
  child.exited = new Promise((resolve) => {
    child.on("error", (error) => (say(error.message), resolve(1)));
    child.on("exit", (code) => resolve(code ?? 1));
  }).then((code) => (running.delete(child), code));
  running.add(child);
  return child;
}

/** Runs a command that ends with this process, and all that the command starts. */
function start(command, ...args) {
  const child = spawn(process.execPath, ["scripts/exit-with-parent.mjs", command, ...args], {
    stdio: ["inherit", "inherit", "inherit", "ipc"],
    env,
    // Ctrl-C reaches this process, and this process ends the child.
    detached: true,
  });
  return track(child, () => child.connected && child.disconnect());
}

async function run(command, ...args) {
  const code = await start(command, ...args).exited;
  if (ending || code !== 0) await end(code);
}

// --- What was asked for -------------------------------------------------------------------------

const args = process.argv.slice(2);
const { values: options } = parseArgs({
  args,
  strict: false,
  options: {
    env: { type: "string", short: "e", default: "dev" },
    "env-file": { type: "string", multiple: true },
    ip: { type: "string", default: "127.0.0.1" },
    port: { type: "string", default: "8787" },
  },
});
const port = Number(options.port);

const env = {
  ...process.env,
  // wrangler runs on the Node.js in there, which the setup may only now have installed.
  PATH: `${join(root, "node_modules", ".bin")}:${process.env.PATH}`,
  WRANGLER_SEND_METRICS: "false",
  // With the banner goes the check for updates, and without `Request.cf` from Cloudflare a start
  // needs no network.
  WRANGLER_HIDE_BANNER: "true",
  CLOUDFLARE_CF_FETCH_ENABLED: "false",
};

/** The variables that wrangler will read, from the same files. */
function readDevVars() {
  const ofStage = `.dev.vars.${options.env}`;
  const files = options["env-file"] ?? [existsSync(ofStage) ? ofStage : ".dev.vars"];
  const vars = {};
  for (const file of files.filter((file) => existsSync(file))) {
    for (const line of readFileSync(file, "utf8").split("\n")) {
      const match = /^\s*(?:export\s+)?(\w+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^#]*))/.exec(line);
      if (match) vars[match[1]] = match[2] ?? match[3] ?? match[4].trim();
    }
  }
  return { vars, file: files.at(-1) };
}

/** The stand-in's port, if the Bedrock endpoint is on this machine. */
function standInPort(endpoint) {
  const [, port] = /^http:\/\/(?:127\.0\.0\.1|localhost):(\d+)(?:\/|$)/.exec(endpoint) ?? [];
  return port && Number(port);
}

// --- Ports --------------------------------------------------------------------------------------

function isFree(port, host) {
  return new Promise((resolve) => {
    const server = createServer()
      .on("error", () => resolve(false))
      .listen({ port, host, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

function accepts(port, host) {
  return new Promise((resolve) => {
    const socket = createConnection({ port, host })
      .on("error", () => resolve(false))
      .on("connect", () => (socket.destroy(), resolve(true)));
  });
}

// --- The stand-in -------------------------------------------------------------------------------

const ACCEPTED = [
  "AWS_ACCESS_KEY_ID",
  "AWS_SECRET_ACCESS_KEY",
  "AWS_SESSION_TOKEN",
  "AWS_BEARER_TOKEN_BEDROCK",
  "BEDROCK_REGION",
];

async function startStandIn(port, vars) {
  // It accepts what .dev.vars says, not the shell.
  const stubEnv = { ...env };
  for (const name of ACCEPTED) {
    delete stubEnv[name];
    if (vars[name]) stubEnv[name] = vars[name];
  }
  // `cargo run` becomes the stand-in, which ends when its stdin does.
  const run = ["run", "--quiet", "-p", "bedrock-stub", "--"];
  const child = spawn("cargo", [...run, "--port", String(port), "--exit-with-parent"], {
    stdio: ["pipe", "inherit", "inherit"],
    env: stubEnv,
    detached: true,
  });
  child.stdin.on("error", () => {});
  track(child, () => {
    child.stdin.end();
    setTimeout(() => child.kill("SIGKILL"), 2000).unref();
  });
  child.exited.then((code) => !ending && fail(`the Bedrock stand-in ended (exit code ${code})`));
  while (!(await accepts(port, "127.0.0.1"))) await sleep(50);
}

// --- The Worker ---------------------------------------------------------------------------------

async function untilHealthy(url) {
  let told;
  for (;;) {
    try {
      const response = await fetch(`${url}healthz`, { signal: AbortSignal.timeout(5000) });
      const body = await response.text();
      if (response.status === 200) return;
      const problem = `GET /healthz answers ${response.status} ${body}`;
      if (problem !== told) say((told = problem));
      await sleep(1800); // wrangler logs each attempt
    } catch {
      // not listening yet, or wrangler shows a build error and waits for a change
    }
    await sleep(200);
  }
}

await run("scripts/setup");

const { vars, file } = readDevVars();
const endpoint = vars.AWS_ENDPOINT_URL_BEDROCK_RUNTIME;
const bedrockPort = standInPort(endpoint);

if (!(await isFree(port, options.ip))) {
  await fail(`port ${port} is in use: stop what listens there, or choose another: npm run dev -- --port ${port + 1}`);
}
if (bedrockPort) {
  if (bedrockPort === port || !(await isFree(bedrockPort, "127.0.0.1"))) {
    await fail(`port ${bedrockPort} is in use: stop what listens there, or change the endpoint in ${file}`);
  }
  say("building the Bedrock stand-in (up to 1 minute the first time)");
  await run("cargo", "build", "--quiet", "-p", "bedrock-stub");
  await startStandIn(bedrockPort, vars);
  say(`Bedrock is the stand-in; ${file} says how to use AWS`);
} else {
  say(`Bedrock is ${endpoint || "AWS"}, with the credentials in ${file}`);
}

if (vars.AUTH !== "open") say(`callers need a credential: ${file} does not say AUTH=open`);
say("building the Worker (up to 2 minutes the first time)");
const given = (...names) => args.some((arg) => names.includes(arg.split("=")[0]));
const defaults = [
  ...(given("--env", "-e") ? [] : ["--env", options.env]),
  ...(given("--ip") ? [] : ["--ip", options.ip]),
  ...(given("--port") ? [] : ["--port", options.port]),
];
start("wrangler", "dev", ...defaults, ...args).exited.then(end);

const host = ["0.0.0.0", "*", "::"].includes(options.ip) ? "127.0.0.1" : options.ip;
const url = `http://${host.includes(":") ? `[${host}]` : host}:${port}/`;
await untilHealthy(url);
say("the Worker is ready. Ctrl-C ends it. Try:\n");
console.log(`curl ${url} -H 'content-type: application/json' -d '{"prompt":"こんにちは"}'\n`);
