// The part of worker.rs that is JavaScript. Every call between wasm and JavaScript costs, and so
// does every awaited promise: here a message's head, a body, an answer, and a piece of a stream
// are one each.

import { env, waitUntil } from "cloudflare:workers";

export const utf8 = new TextEncoder();

// What a task is told in place of an error.
const CANCELLED = undefined;
const TIMED_OUT = null;

/** The task whose step runs: what it calls below says how long it may wait for the promise. */
let running;

/**
 * Drives a task of task.rs: awaits each promise that it returns, and settles with what else it
 * returns. What takes too long is given up, and what it fetches with it.
 *
 * The waits of a task mostly end at the same time, the request's deadline: so one timer does for
 * all of them.
 *
 * A client is what has the signal of its leaving: a Request, with the compatibility flag
 * enable_request_signal, or an AbortController. What waits when the context of a request ends is
 * never woken. The Rust behind it would stay in memory, and write no log line: so it is woken
 * before.
 */
export function drive(step, client) {
  return new Promise((resolve, reject) => new Task(step, client.signal, resolve, reject).run());
}

class Task {
  within = Infinity; // how long the step's promise may take
  fetching = undefined;
  #step;
  #resolve;
  #reject;
  #turn = 0;
  #timer;
  #rings = Infinity; // when the timer does
  #due = Infinity;

  constructor(step, signal, resolve, reject) {
    this.#step = step;
    this.#resolve = resolve;
    this.#reject = reject;
    signal.addEventListener("abort", () => this.#giveUp(CANCELLED), { once: true });
  }

  async run(value, isError = false) {
    const turn = (this.#turn += 1);
    try {
      for (;;) {
        running = this;
        this.within = Infinity;
        const bytes = bytesOf(value);
        const next = this.#step(bytes ? undefined : value, bytes, isError);
        if (!(next instanceof Promise)) {
          clearTimeout(this.#timer);
          return this.#resolve(next);
        }
        this.#due = Date.now() + this.within;
        if (this.#due < this.#rings) this.#ring(this.within);
        isError = false;
        try {
          value = await next;
        } catch (error) {
          [value, isError] = [error, true];
        }
        if (turn !== this.#turn) return; // it was given up
      }
    } catch (error) {
      clearTimeout(this.#timer);
      this.#reject(error);
    }
  }

  #ring(after) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#check(), after);
    this.#rings = Date.now() + after;
  }

  #check() {
    this.#rings = Infinity;
    const left = this.#due - Date.now();
    if (left <= 0) this.#giveUp(TIMED_OUT);
    else if (left < Infinity) this.#ring(left);
  }

  #giveUp(why) {
    this.fetching?.abort();
    this.fetching = undefined;
    this.run(why, true);
  }
}

/** Bytes go to Rust with the step that they lead to, without a call for them. */
function bytesOf(value) {
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  return value instanceof Uint8Array ? value : undefined;
}

/** Whether nobody waits for the answer any more. */
export function isGone(client) {
  return client.signal.aborted;
}

/** A variable or a secret. In wrangler.toml a number can stand without quotes. */
export function variable(env, name) {
  const value = env[name];
  return value === undefined || value === null ? undefined : String(value);
}

export function log(line) {
  console.log(line);
}

/** What a panic says. The platform shows it beside the exception that follows. */
export function fault(message) {
  console.error(message);
}

// The headers that the core reads of a POST, with the `host` that an Origin is compared with, and of an
// answer of status 200. workerd takes 8000 instructions for each header that it lists, and 2500 for one
// that is asked for; a short request takes 1.3 million.
const OF_POST = [
  "content-type",
  "content-length",
  "content-encoding",
  "accept",
  "authorization",
  "x-api-key",
  "cf-access-jwt-assertion",
  "cf-connecting-ip",
  "x-amz-invocation-type",
];
const OF_ANSWER = ["content-type", "x-amzn-requestid", "date"];

/**
 * Writes the first line and the headers of a Request or a Response to where Rust wants them, a line
 * each: of a POST or a good answer only the headers above, unless all are wanted. Returns how many
 * bytes that takes, which may be more than there is room for.
 *
 * A string that is returned would be written by code of wasm-bindgen's, a character at a time. That
 * and the headers that nobody reads were 6 % of a short request.
 */
export function head(message, isWhole, out) {
  const { headers, method } = message;
  let lines = method ? `${method} ${message.url}` : `${message.status}`;
  const add = (name) => {
    const value = headers.get(name);
    if (value !== null) lines += `\n${name}:${value}`;
    return value;
  };
  if (isWhole || (method ? method !== "POST" : message.status !== 200)) {
    for (const [name, value] of headers) lines += `\n${name}:${value}`;
  } else if (method) {
    for (const name of OF_POST) add(name);
    if (add("origin") !== null) add("host");
  } else {
    for (const name of OF_ANSWER) add(name);
  }
  const { read, written } = utf8.encodeInto(lines, out);
  return read === lines.length ? written : lines.length * 3;
}

/** The body of a Request or a Response, or null if it is longer than limit bytes. */
export function read(message, limit, within) {
  running.within = within;
  const { headers } = message;
  const length = headers.get("content-length");
  // The length of an encoded body is not the length of what is read.
  if (length === null || headers.has("content-encoding")) return pieces(message.body ?? [], limit);
  return length > limit ? Promise.resolve(null) : message.arrayBuffer();
}

async function pieces(body, limit) {
  const chunks = [];
  let sum = 0;
  for await (const chunk of body) {
    sum += chunk.byteLength;
    if (sum > limit) return null; // which cancels the stream
    chunks.push(chunk);
  }
  return new Blob(chunks).arrayBuffer();
}

export function sha256(bytes) {
  return crypto.subtle.digest("SHA-256", bytes);
}

/** Sends a request. workerd sets Host and Content-Length, and leaves the path as it is. */
export function send(method, url, headers, text, bytes, within) {
  running.within = within;
  const { signal } = (running.fetching ??= new AbortController());
  return fetch(url, { method, headers: record(headers), body: body(text, bytes), redirect: "manual", signal });
}

export function sleep(time) {
  return new Promise((resolve) => setTimeout(resolve, time));
}

/**
 * Keeps the request's context until the promise is settled, up to 30 seconds after the answer. A native
 * function that wasm imports as it is costs each start 1 ms and more: V8 compiles an adapter for it, with the
 * compiler that optimizes.
 */
export function outlast(promise) {
  waitUntil(promise);
}

export function respond(status, headers, text, bytes) {
  return new Response(body(text, bytes), { status, headers: record(headers) });
}

function body(text, bytes) {
  // A copy, because wasm's memory moves when it grows. A buffer, because a stream goes in chunks.
  return bytes === undefined ? text || null : bytes.slice();
}

export function random(length) {
  return crypto.getRandomValues(new Uint8Array(length));
}

// https://www.rfc-editor.org/rfc/rfc7518#section-3.1
const ALGORITHMS = {
  RS256: { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" },
  ES256: { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" },
};

/** Keys that were imported, by their JWK. An issuer has few, and replaces them rarely. */
const keys = new Map();
const MAX_KEYS = 100;

/** Whether the signature of a JWT is right. Fails if the key is none. */
export async function verify(algorithm, jwk, message, signature) {
  // Before anything is awaited: wasm's memory moves when it grows.
  [message, signature] = [message.slice(), signature.slice()];
  let key = keys.get(jwk);
  if (!key) {
    key = await crypto.subtle.importKey("jwk", JSON.parse(jwk), ALGORITHMS[algorithm], false, ["verify"]);
    if (keys.size >= MAX_KEYS) keys.clear();
    keys.set(jwk, key);
  }
  return crypto.subtle.verify(ALGORITHMS[algorithm], key, signature, message);
}

/** Names and values, a line each, by turns. A record is half the price of a list of pairs. */
export function record(lines) {
  const parts = lines.split("\n");
  const record = {};
  for (let i = 0; i + 1 < parts.length; i += 2) record[parts[i]] = parts[i + 1];
  return record;
}

// --- Limits -------------------------------------------------------------------------------------

/** Both take milliseconds. What takes so long is not to be had. */
const LIMITS_MS = 5000;

/** Counts a request. True if it is within the limit, undefined if nothing counts. */
export function admit(key) {
  running.within = LIMITS_MS;
  return count(key);
}

async function count(key) {
  return (await env.RATE_LIMITER?.limit({ key }))?.success;
}

/** Takes a message to the ledger of an account. Undefined if there are no ledgers. */
export function ledger(account, message) {
  running.within = LIMITS_MS;
  return tell(account, message);
}

async function tell(account, message) {
  const { LEDGER } = env;
  if (!LEDGER) return undefined;
  for (let again = 1; ; again -= 1) {
    try {
      // A new stub each time: one that has failed may be broken.
      const stub = LEDGER.get(LEDGER.idFromName(account));
      const reply = await stub.fetch("https://ledger/", { headers: { message } });
      if (reply.ok) return await reply.text();
      throw new Error(`the ledger answers ${reply.status}`);
    } catch (error) {
      // A message can be sent twice.
      if (again === 0) throw error;
    }
  }
}

/** The same, in the time after the answer. */
export function settle(account, message) {
  const failed = ({ message: error }) =>
    console.error(JSON.stringify({ level: "error", outcome: "not_settled", error, message }));
  waitUntil(tell(account, message).catch(failed));
}

export function message(request) {
  return request.headers.get("message") ?? "";
}

export function load(state) {
  return state.storage.kv.get("ledger");
}

export function store(state, ledger) {
  state.storage.kv.put("ledger", ledger);
}

// --- Bodies in pieces ---------------------------------------------------------------------------

export function reader(message) {
  return (message.body ?? new Blob().stream()).getReader();
}

/** The next piece, or null at the end. */
export function chunk(reader, within) {
  running.within = within;
  return reader.read().then(({ done, value }) => (done ? null : value));
}

export function cancel(reader) {
  reader.cancel().catch(() => {}); // of a stream that has failed
}
