// The JavaScript side of the Worker. Every call between wasm and JavaScript costs, and so does every awaited promise: a
// message's head, a body, a response and a chunk of a stream are one each.

import { waitUntil } from "cloudflare:workers";

export const utf8 = new TextEncoder();

// The rejections that are not errors.
const CANCELLED = undefined;
const TIMED_OUT = null;

/** The task whose step runs. A function that it calls sets how long the step's promise may take. */
let running;

/**
 * Drives a task of task.rs: awaits each promise that it returns, and resolves with any other value that it returns. A
 * promise that takes too long is abandoned, and the task's fetch with it.
 *
 * The waits of a task mostly end at the same time, the request's deadline, so one timer is enough for all of them.
 *
 * A client is an object whose `signal` says that the client has disconnected: a Request, with the compatibility flag
 * enable_request_signal, or an AbortController. A promise that is pending when the context of a request ends never
 * settles. The Rust task would stay in memory and write no log line, so it is woken before.
 */
export function drive(step, client) {
  return new Promise((resolve, reject) => new Task(step, client.signal, resolve, reject).run());
}

/** Sets how long the promise of the running step may take, in milliseconds. */
export function within(ms) {
  running.within = ms;
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
        if (bytes) free(bytes);
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
        if (turn !== this.#turn) return; // the promise was abandoned
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

/** Bytes go to Rust as an argument of the step, without a call for them. */
function bytesOf(value) {
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  return value instanceof Uint8Array ? value : undefined;
}

/**
 * Gives back the memory of many bytes that nobody reads any more. V8 collects a buffer late, because it is not in its heap:
 * 150 prompts of 1 MiB, a few at a time, took 115 MB instead of 57 (2026-11).
 */
export function free(bytes) {
  if (bytes.length >= 64 << 10) bytes.buffer.transfer(0);
}

/** Reports whether the client has disconnected. */
export function isGone(client) {
  return client.signal.aborted;
}

export function log(line) {
  console.log(line);
}

/** Logs the message of a panic. The platform shows it beside the exception that follows. */
export function fault(message) {
  console.error(message);
}

// The headers of a POST, and of a response with status 200, that the core reads: a test compares them with headers.rs.
// workerd takes 8,000 instructions for each header that it lists, and 2,500 for one that is asked for by name; a short
// request takes 1.2 million (2026-11).
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
  "anthropic-version",
  "anthropic-beta",
  "x-claude-code-session-id",
];
const OF_RESPONSE = ["content-type", "x-amzn-requestid", "date"];

/**
 * Writes the first line and the headers of a Request or a Response into wasm's memory, a line each: of a POST or a
 * response with status 200 only the headers above, unless all are wanted. Returns the number of bytes, which may be more
 * than there is room for.
 *
 * wasm-bindgen would copy a returned string a character at a time. That and the unread headers took 6 % of the
 * instructions of a short request (2026-11).
 */
export function head(message, isWhole, out) {
  const { headers, method } = message;
  let lines = method ? `${method} ${message.url}` : `${message.status}`;
  const add = (name) => {
    const value = headers.get(name);
    if (value !== null) lines += `\n${name}:${value}`;
    return value;
  };
  if (isWhole || (method ? method !== "POST" || isNative(message.url) : message.status !== 200)) {
    // Cloudflare replaces the client's accept-encoding, which the client may have signed.
    const encoding = method && message.cf?.clientAcceptEncoding;
    for (const [name, value] of headers) lines += `\n${name}:${(name === "accept-encoding" && encoding) || value}`;
  } else if (method) {
    for (const name of OF_POST) add(name);
    if (add("origin") !== null) add("host");
  } else {
    for (const name of OF_RESPONSE) add(name);
  }
  const { read, written } = utf8.encodeInto(lines, out);
  return read === lines.length ? written : lines.length * 3;
}

/** Reports whether a URL may be one of Bedrock's own operations, which read headers of their own. */
function isNative(url) {
  return url.includes("/model/") || url.includes("/guardrail/") || url.includes("/anthropic/");
}

/** Reads the body of a Request or a Response. Resolves with null if it is longer than limit bytes. */
export function read(message, limit, within) {
  running.within = within;
  const { headers } = message;
  const length = headers.get("content-length");
  // The length of an encoded body is not the length of what is read.
  if (message.body && (length === null || headers.has("content-encoding"))) return chunks(message.body, limit);
  return length > limit ? Promise.resolve(null) : message.arrayBuffer();
}

/**
 * Reads a stream into one buffer. As chunks of its own, a body of 200,000 bytes that arrive one by one would take 1 GB
 * (2026-11): each chunk keeps 4 KiB alive.
 */
async function chunks(body, limit, expected = 4095) {
  const reader = byteReader(body);
  // One byte more, because a body is over when a buffer is not full.
  let buffer = new Uint8Array(Math.min(expected, limit) + 1);
  let length = 0;
  for (;;) {
    // Waits until the buffer is full or the stream ends.
    const { done, value } = await reader.readAtLeast(buffer.length - length, buffer.subarray(length));
    buffer = new Uint8Array(value.buffer);
    length += value.length;
    if (length > limit) {
      reader.cancel().catch(() => {});
      return null;
    }
    if (done || length < buffer.length) return buffer.subarray(0, length);
    const larger = new Uint8Array(Math.min(2 * buffer.length, limit + 1));
    larger.set(buffer);
    buffer = larger;
  }
}

/** Returns a reader that fills buffers. A stream that JavaScript made may have no such reader. */
function byteReader(body) {
  try {
    return body.getReader({ mode: "byob" });
  } catch {
    return body.pipeThrough(new IdentityTransformStream()).getReader({ mode: "byob" });
  }
}

/** A body that stays in JavaScript. Not bytes by itself, which would go to Rust. */
class Kept {
  constructor(bytes) {
    this.bytes = bytes;
  }
}

/** Reads the body of a Request, and keeps it. Resolves with null if it is longer than limit bytes. */
export async function keep(message, limit, within) {
  running.within = within;
  const { body, headers } = message;
  const length = headers.get("content-length");
  // workerd makes a stream of an empty body, too, of which nothing can be read.
  if (!body || length === "0") return new Kept(new Uint8Array());
  if (length > limit) return null;
  const bytes = await (length > LONG_BODY ? parts(body, limit, Number(length)) : chunks(body, limit, length ?? undefined));
  return bytes && new Kept(bytes);
}

/**
 * A longer body is read and sent in parts. readAtLeast() and fetch() hold a copy of their buffer each: a body of 19.8 MB takes
 * 58 MiB with both, and 22 MiB in parts (2026-11).
 */
const LONG_BODY = 1 << 20;
const PART_BYTES = 128 << 10;

async function parts(body, limit, expected) {
  const reader = byteReader(body);
  let bytes = new Uint8Array(expected);
  let at = 0;
  for (let part = new ArrayBuffer(PART_BYTES); ; ) {
    const { done, value } = await reader.read(new Uint8Array(part));
    if (done) return bytes.subarray(0, at);
    if (at + value.length > bytes.length) {
      // A Worker has given the Request another body, and left its header.
      if (at + value.length > limit) return null;
      const larger = new Uint8Array(Math.min(2 * bytes.length, limit));
      larger.set(bytes.subarray(0, at));
      bytes = larger;
    }
    bytes.set(value, at);
    at += value.length;
    part = value.buffer;
  }
}

/** Returns the body of a fetch. */
function content(bytes) {
  if (bytes.length <= LONG_BODY) return bytes;
  const { readable, writable } = new FixedLengthStream(bytes.length);
  const write = async () => {
    const writer = writable.getWriter();
    for (let at = 0; at < bytes.length; at += PART_BYTES) await writer.write(bytes.subarray(at, at + PART_BYTES));
    await writer.close();
  };
  write().catch(() => {}); // the fetch fails, too, or has its response already
  return readable;
}

export function keptLength({ bytes }) {
  return bytes.length;
}

/** Copies bytes of a body into wasm's memory, and returns their number. */
export function keptRead({ bytes }, offset, out) {
  const part = bytes.subarray(offset, offset + out.length);
  out.set(part);
  return part.length;
}

export function keptHash({ bytes }) {
  return crypto.subtle.digest("SHA-256", bytes);
}

/** Gives back the memory of a body that is not sent any more. */
export function keptFree({ bytes }) {
  free(bytes);
}

/** Sends a request with a body that was kept, which stays for another attempt. */
export function keptSend(method, url, headers, { bytes }, within) {
  running.within = within;
  const { signal } = (running.fetching ??= new AbortController());
  return fetch(url, { method, headers: record(headers), body: content(bytes), redirect: "manual", signal });
}

/** Makes a response whose body workerd passes on by itself. */
export function pipe(status, headers, { body }) {
  return new Response(body, { status, headers: record(headers) });
}

export function sha256(bytes) {
  return crypto.subtle.digest("SHA-256", bytes);
}

/** Sends a request. workerd sets Host and Content-Length, and leaves the path as it is. */
export function send(method, url, headers, text, bytes, within) {
  running.within = within;
  const { signal } = (running.fetching ??= new AbortController());
  const content = body(text, bytes);
  const response = fetch(url, { method, headers: record(headers), body: content, redirect: "manual", signal });
  return bytes === undefined ? response : response.finally(() => free(content));
}

export function sleep(time) {
  return new Promise((resolve) => setTimeout(resolve, time));
}

/**
 * Keeps the request's context until the promise settles, up to 30 seconds after the response. It wraps waitUntil because
 * V8 compiles an adapter for each native function that wasm imports, which takes 1 ms of each start.
 */
export function outlast(promise) {
  waitUntil(promise);
}

export function respond(status, headers, text, bytes) {
  const content = body(text, bytes);
  const response = new Response(content, { status, headers: record(headers) });
  if (bytes !== undefined) free(content);
  return response;
}

function body(text, bytes) {
  // A copy, because wasm's memory moves when it grows.
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

/** The imported keys, by their JWK. An issuer has few and replaces them rarely. */
const keys = new Map();
const MAX_KEYS = 100;

/** Reports whether the signature of a JWT is right. Rejects if the key is invalid. */
export async function verify(algorithm, jwk, message, signature) {
  // Copied before anything is awaited, because wasm's memory moves when it grows.
  [message, signature] = [message.slice(), signature.slice()];
  let key = keys.get(jwk);
  if (!key) {
    key = await crypto.subtle.importKey("jwk", JSON.parse(jwk), ALGORITHMS[algorithm], false, ["verify"]);
    if (keys.size >= MAX_KEYS) keys.clear();
    keys.set(jwk, key);
  }
  return crypto.subtle.verify(ALGORITHMS[algorithm], key, signature, message);
}

export function encrypt(key, nonce, text, associated) {
  return cipher("encrypt", key, nonce, text, associated);
}

export function decrypt(key, nonce, text, associated) {
  return cipher("decrypt", key, nonce, text, associated);
}

/** The imported keys of AES-GCM, by their bytes. A configuration has two at most. */
const cipherKeys = new Map();

async function cipher(operation, bytes, nonce, text, associated) {
  // Copied before anything is awaited, because wasm's memory moves when it grows.
  const algorithm = { name: "AES-GCM", iv: nonce.slice(), additionalData: associated.slice() };
  text = text.slice();
  const name = bytes.join();
  let key = cipherKeys.get(name);
  if (!key) {
    key = await crypto.subtle.importKey("raw", bytes.slice(), "AES-GCM", false, ["encrypt", "decrypt"]);
    if (cipherKeys.size >= MAX_KEYS) cipherKeys.clear();
    cipherKeys.set(name, key);
  }
  return crypto.subtle[operation](algorithm, key, text);
}

/** Parses names and values, a line each, by turns. A record takes half the time of a list of pairs. */
export function record(lines) {
  const parts = lines.split("\n");
  const record = {};
  for (let i = 0; i + 1 < parts.length; i += 2) record[parts[i]] = parts[i + 1];
  return record;
}

// --- Limits -------------------------------------------------------------------------------------

/** How long a limiter or a ledger, which replies within milliseconds, may take. */
export const LIMITS_MS = 5000;

/** Counts a request. Resolves with true if it is within the limit. */
export function admit(platform, key) {
  running.within = LIMITS_MS;
  return count(platform.binding("RATE_LIMITER"), key);
}

async function count(limiter, key) {
  return (await limiter.limit({ key })).success;
}

// --- Bodies in chunks ---------------------------------------------------------------------------

/** The most bytes that one read returns. */
export const READ_BYTES = 16 << 10;

/**
 * Reads a stream into one buffer, again and again: workerd would make one of 4 KiB for each chunk, however small, and V8
 * collects them late. 100 streams of 5 MB took 120 MB of them (2026-11). A value is valid until the next read.
 */
class Reader {
  #reader;
  #buffer = new ArrayBuffer(READ_BYTES);

  constructor(stream) {
    this.#reader = byteReader(stream);
  }

  async read() {
    const { done, value } = await this.#reader.read(new Uint8Array(this.#buffer));
    // A read takes the buffer away, and returns it.
    if (value) this.#buffer = value.buffer;
    return { done, value };
  }

  cancel() {
    return this.#reader.cancel();
  }
}

export function reader(message) {
  return new Reader(message.body ?? new Blob().stream());
}

/** Reads the next chunk. Resolves with null at the end. */
export function chunk(reader, within) {
  running.within = within;
  return reader.read().then(({ done, value }) => (done ? null : value));
}

export function cancel(reader) {
  reader.cancel().catch(() => {}); // a stream that has failed rejects
}
