// The JavaScript side of an isolate of the core: the variables, the bindings and the log that it has.

import { env as own } from "cloudflare:workers";

/** The isolates of the core, by the keys of their options, for an `env`. wasm has them for as long as it runs. */
const known = new Map();

/** The number of the next isolate. It outlives an instance of wasm, so that no number means two isolates. */
let next = 1;

/** Variables, bindings and a log. */
export class Platform {
  /** The number of the isolate. wasm looks for another one if it does not know the number. */
  id = 0;

  /**
   * Variables and bindings are those of env whose names begin with the prefix. A variable in values is that one
   * instead; `undefined` there hides a variable.
   */
  constructor({ key = "", prefix = "", values = {}, log } = {}, env = own) {
    this.key = key;
    this.env = env;
    this.prefix = prefix;
    this.values = values;
    this.write = log;
  }

  /** Returns a variable or a secret. In wrangler.toml a number can stand without quotes. */
  variable(name) {
    const value = Object.hasOwn(this.values, name) ? this.values[name] : this.binding(name);
    return value === undefined || value === null ? undefined : String(value);
  }

  binding(name) {
    return this.env[this.prefix + name];
  }

  has(name) {
    return this.binding(name) !== undefined;
  }

  /** Logs a line of JSON. A log of the embedding Worker runs later, because it may call wasm, which is running now. */
  log(line) {
    if (!this.write) return console.log(line);
    queueMicrotask(() => {
      try {
        this.write(JSON.parse(line));
      } catch (error) {
        // It must not fail the request.
        console.error(error);
        console.log(line);
      }
    });
  }

  /** Returns the number for the first isolate of an instance of wasm. */
  next() {
    return next;
  }

  /** Remembers the number of the isolate. */
  adopt(id) {
    this.id = id;
    next = Math.max(next, id + 1);
    known.set(this.key, { env: this.env, id });
  }
}

/** Returns the platform of the Worker itself. */
export function ownPlatform(env) {
  return new Platform({}, env);
}

/** Returns the platform for these options and this env. Options that are kept keep their platform. */
export function platformFor(options, env = own) {
  let { platform } = options;
  if (platform?.env === env) return platform;
  platform = options.platform = new Platform(options, env);
  const { env: before, id } = known.get(options.key) ?? {};
  if (before === env) platform.id = id;
  return platform;
}
