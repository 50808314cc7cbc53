// Starts child processes that end with this one, however it ends, and ends this one on a signal.
import { spawn } from "node:child_process";

export const say = (line) => console.error(`bedrock-edge: ${line}`);

const running = new Set();
let ending = false;

/**
 * Ends the children, then this process: with an exit code, or by the signal that it received. Logs
 * `line` as the last one. Never resolves.
 */
export async function end(how, line) {
  if (ending) return new Promise(() => {});
  ending = true;
  for (const child of running) child.stop();
  await Promise.all([...running].map((child) => child.exited));
  if (line) say(line);
  if (typeof how === "number") process.exit(how);
  process.removeAllListeners(how);
  // By the signal, so that npm ends by it too, instead of reporting an error.
  process.kill(process.pid, how);
  return new Promise(() => {});
}

export const isEnding = () => ending;

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => end(signal));

// npm does not pass on SIGHUP, and its children outlive it.
const parent = process.ppid;
setInterval(() => process.ppid !== parent && end("SIGHUP"), 250).unref();

// A closed pipe (`npm run dev | head`) must not end this process before its children.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});

/** Ends `child` with this process, by calling `stop`. `child.exited` resolves to its exit code. */
export function track(child, stop) {
  child.stop = stop;
  child.exited = new Promise((resolve) => {
    child.on("error", (error) => (say(error.message), resolve(1)));
    child.on("exit", (code) => resolve(code ?? 1));
  }).then((code) => (running.delete(child), code));
  running.add(child);
  return child;
}

/** Starts a command that ends with this process, together with all its descendants. */
export function start(command, args, env = process.env) {
  const child = spawn(process.execPath, ["scripts/exit-with-parent.mjs", command, ...args], {
    stdio: ["inherit", "inherit", "inherit", "ipc"],
    env,
    // Ctrl-C then reaches only this process, which ends the child.
    detached: true,
  });
  return track(child, () => child.connected && child.disconnect());
}
