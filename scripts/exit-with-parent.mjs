// node exit-with-parent.mjs COMMAND ARGUMENTS...
//
// Runs the command in a process group of its own, and ends the group when the parent process ends. The
// IPC channel that the parent opens closes even if the parent is killed. Otherwise wrangler and its
// workerd processes would outlive the parent.
import { spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";

const [command, ...args] = process.argv.slice(2);
const child = spawn(command, args, { stdio: "inherit", detached: true });

function signalGroup(signal) {
  try {
    return process.kill(-child.pid, signal);
  } catch {
    return false; // The group is empty.
  }
}

async function stop() {
  signalGroup("SIGTERM");
  await sleep(5000);
  signalGroup("SIGKILL");
}

process.on("disconnect", stop);
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, stop);

child.on("error", (error) => {
  console.error(`bedrock-edge: ${command}: ${error.message}`);
  process.exit(1);
});
child.on("exit", async (code) => {
  // Its descendants may take a moment longer.
  signalGroup("SIGTERM");
  for (let i = 0; i < 20 && signalGroup(0); i++) await sleep(50);
  signalGroup("SIGKILL");
  process.exit(code ?? 1);
});
