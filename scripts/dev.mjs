// npm run dev [-- wrangler's options]
//
// Sets up, starts the Bedrock stand-in when .dev.vars points there, runs the Worker under
// `wrangler dev`, and prints a curl line that works. When it ends, everything it started ends.
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { createConnection, createServer } from "node:net";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { end, isEnding, say, start, track } from "./children.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
process.chdir(root);

// --- Options and variables ----------------------------------------------------------------------

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
  // wrangler runs on the Node.js that is installed there.
  PATH: `${join(root, "node_modules", ".bin")}:${process.env.PATH}`,
  WRANGLER_SEND_METRICS: "false",
  // Without the check for updates, which comes with the banner, and without fetching `Request.cf`
  // from Cloudflare, a start needs no network.
  WRANGLER_HIDE_BANNER: "true",
  CLOUDFLARE_CF_FETCH_ENABLED: "false",
};

/** Reads the variables as wrangler will, from the same files. */
function readDevVars() {
  const ofStage = `.dev.vars.${options.env}`;
  const files = options["env-file"] ?? [existsSync(ofStage) ? ofStage : ".dev.vars"];
  const vars = {};
  for (const file of files) {
    // The set-up copies the example.
    const source = file === ".dev.vars" && !existsSync(file) ? ".dev.vars.example" : file;
    if (!existsSync(source)) continue;
    for (const line of readFileSync(source, "utf8").split("\n")) {
      const match = /^\s*(?:export\s+)?(\w+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^#]*))/.exec(line);
      if (match) vars[match[1]] = match[2] ?? match[3] ?? match[4].trim();
    }
  }
  return { vars, file: files.at(-1) };
}

/** Returns the stand-in's port, if the Bedrock endpoint is on this machine. */
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
  // It accepts the credentials in .dev.vars, not the shell's.
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
  child.exited.then((code) => isEnding() || end(1, `the Bedrock stand-in ended (exit code ${code})`));
  while (!(await accepts(port, "127.0.0.1"))) await sleep(50);
}

// --- The Worker ---------------------------------------------------------------------------------

async function untilHealthy(url) {
  let reported;
  for (;;) {
    try {
      const response = await fetch(`${url}healthz`, { signal: AbortSignal.timeout(5000) });
      const body = await response.text();
      if (response.status === 200) return;
      const problem = `GET /healthz expected status 200, got ${response.status} ${body}`;
      if (problem !== reported) say((reported = problem));
      await sleep(1800); // wrangler logs each attempt
    } catch {
      // The Worker does not listen yet, or wrangler shows a build error and waits for a change.
    }
    await sleep(200);
  }
}

const { vars, file } = readDevVars();
const endpoint = vars.AWS_ENDPOINT_URL_BEDROCK_RUNTIME;
const bedrockPort = standInPort(endpoint);

if (!(await isFree(port, options.ip))) {
  await end(1, `port ${port} is in use: stop the program that uses it, or choose another port: npm run dev -- --port ${port + 1}`);
}
if (bedrockPort && (bedrockPort === port || !(await isFree(bedrockPort, "127.0.0.1")))) {
  await end(1, `port ${bedrockPort} is in use: stop the program that uses it, or change the endpoint in ${file}`);
}

const parts = bedrockPort ? ["worker", "stand-in"] : ["worker"];
const code = await start("scripts/setup", parts, env).exited;
if (code !== 0) await end(code);

if (bedrockPort) {
  await startStandIn(bedrockPort, vars);
  say(`Bedrock is the stand-in; ${file} says how to use AWS`);
} else {
  say(`Bedrock is ${endpoint || "AWS"}, with the credentials in ${file}`);
}

if (vars.AUTH !== "open") say(`callers need a credential: ${file} does not set AUTH=open`);
say("building and starting the Worker (about 15 seconds, longer after a change)");
const given = (...names) => args.some((arg) => names.includes(arg.split("=")[0]));
const defaults = [
  ...(given("--env", "-e") ? [] : ["--env", options.env]),
  ...(given("--ip") ? [] : ["--ip", options.ip]),
  ...(given("--port") ? [] : ["--port", options.port]),
];
start("wrangler", ["dev", ...defaults, ...args], env).exited.then((code) => end(code));

const host = ["0.0.0.0", "*", "::"].includes(options.ip) ? "127.0.0.1" : options.ip;
const url = `http://${host.includes(":") ? `[${host}]` : host}:${port}/`;
await untilHealthy(url);
say("the Worker is ready. Ctrl-C ends it. Try:\n");
console.log(`curl ${url} -H 'content-type: application/json' -d '{"prompt":"こんにちは"}'\n`);
