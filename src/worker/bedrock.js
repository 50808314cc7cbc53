// The JavaScript API: Bedrock in a Worker that is written in JavaScript or TypeScript. The types are in npm/index.d.ts.

import * as wasm from "bedrock-edge";
import { platformFor } from "./platform.js";
import { ReplyStream } from "./reply_stream.js";
import { returned, toLocalError } from "./rpc.js";
import { scopeOf, signed } from "./sign.js";

/** The variables that say how callers authenticate: config/access.rs reads them, and a test compares the two. */
const ACCESS = [
  "AUTH",
  "API_TOKENS",
  "JWT_ISSUER",
  "JWT_AUDIENCE",
  "JWT_JWKS_URL",
  "JWT_REQUIRED_SCOPE",
  "CLIENT_KEYS",
];

/** Longer than any name of a user, and short enough for a log line. */
const MAX_CALLER = 256;

/** Returns an instance with these options, which win over the variables in `env`. */
export function bedrock(options) {
  return new Bedrock(options);
}

class Bedrock {
  #options;
  #authenticate;

  constructor({ region, model, basePath, auth, log, envPrefix = "", ...others } = {}) {
    const [unknown] = Object.keys(others);
    if (unknown) throw new TypeError(`expected region, model, basePath, auth, log or envPrefix, got the option ${unknown}`);
    const values = {};
    if (region !== undefined) values.BEDROCK_REGION = region;
    if (model !== undefined) values.BEDROCK_MODEL_ID = model;
    if (basePath !== undefined) values.BASE_PATH = basePath;
    if (typeof auth === "function") {
      this.#authenticate = auth;
    } else if (auth !== undefined && auth !== "open") {
      throw new TypeError('expected "open" or a function as the option auth');
    }
    if (auth !== undefined) {
      for (const name of ACCESS) values[name] = undefined;
      if (auth === "open") values.AUTH = auth;
    }
    // JSON leaves `undefined` out.
    const key = JSON.stringify([envPrefix, values, Object.keys(values)]);
    this.#options = { key, prefix: envPrefix, values, log };
  }

  /** Responds to a request. The third argument is accepted for the form of a Worker's own `fetch`. */
  fetch(request, env, _context) {
    const platform = this.#platformFor(env);
    if (this.#authenticate && !isPreflight(request)) return this.#fetchFor(request, platform);
    return wasm.fetch(request, undefined, platform, platform.id);
  }

  async #fetchFor(request, platform) {
    const result = await this.#authenticate(request);
    if (result instanceof Response) return result;
    return wasm.fetch(request, callerName(result?.caller), platform, platform.id);
  }

  async generate(input, options) {
    return returned(await this.#call(input, false, options), toLocalError);
  }

  stream(input, options) {
    return new ReplyStream(() => this.#call(input, true, options), options?.signal);
  }

  async sign(request, { service, region, signal, env } = {}) {
    signal?.throwIfAborted();
    const scope = scopeOf(new URL(request.url).hostname, service, region);
    const body = request.body && new Uint8Array(await request.arrayBuffer());
    const bytes = body ?? new Uint8Array();
    const platform = this.#platformFor(env);
    const call = (client) => wasm.sign(request, bytes, ...scope, client, platform, platform.id);
    const result = await untilAborted(signal, call);
    return typeof result === "string" ? signed(request, body, result) : returned(result, toLocalError);
  }

  #platformFor(env) {
    wasm.instantiate();
    return platformFor(this.#options, env);
  }

  #call(input, stream, { signal, caller, env } = {}) {
    const fields = typeof input === "string" ? { prompt: input } : input;
    const message = new Response(JSON.stringify({ ...fields, stream }));
    const name = caller === undefined ? undefined : callerName(caller);
    const platform = this.#platformFor(env);
    return untilAborted(signal, (client) => wasm.generate(message, "app", name, client, platform, platform.id));
  }
}

/** Reports whether a browser asks what a page may send. It does so without a credential, and wasm responds. */
function isPreflight({ method, headers }) {
  return method === "OPTIONS" && headers.has("origin") && headers.has("access-control-request-method");
}

function callerName(name) {
  if (typeof name === "string" && name !== "" && name.length <= MAX_CALLER) return name;
  throw new TypeError(`expected a caller with a name of 1 to ${MAX_CALLER} characters`);
}

/**
 * Resolves with what wasm makes of a call, or rejects with the reason for which it was aborted. The signal may outlive the
 * call, and may end the stream that the call returns: wasm has a signal of its own.
 */
async function untilAborted(signal, call) {
  signal?.throwIfAborted();
  const client = new AbortController();
  const abort = () => client.abort();
  signal?.addEventListener("abort", abort);
  const result = await call(client).finally(() => signal?.removeEventListener("abort", abort));
  if (signal?.aborted && result instanceof Response) await result.body?.cancel();
  signal?.throwIfAborted();
  return result;
}
