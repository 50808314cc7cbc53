// node scripts/side-by-side.mjs COMMAND...
//
// Runs shell commands at the same time, in the project's folder. When one fails, ends the others and
// fails.
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { end, start } from "./children.mjs";

process.chdir(dirname(dirname(fileURLToPath(import.meta.url))));

async function run(command) {
  const code = await start("bash", ["-c", command]).exited;
  if (code !== 0) await end(code, `this failed, see above: ${command}`);
}

await Promise.all(process.argv.slice(2).map(run));
