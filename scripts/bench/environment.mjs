// Describes the machine and the tools in one line.
import { execFileSync } from "node:child_process";
import { cpus, release, totalmem } from "node:os";

export function environment(workerd) {
  const version = (command) => execFileSync(command, ["--version"], { encoding: "utf8" }).trim();
  const processors = cpus();
  return [
    `${processors[0].model.trim()}, ${processors.length} cores`,
    `${Math.round(totalmem() / 2 ** 30)} GiB`,
    `Linux ${/^\d+\.\d+/.exec(release())[0]}`,
    version(workerd),
    `Node.js ${process.versions.node}`,
    /^rustc \S+/.exec(version("rustc"))[0],
  ].join("; ");
}
