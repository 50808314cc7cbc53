// The part of worker.rs that is JavaScript. Every call between wasm and JavaScript costs, and so
// does every awaited promise: here a message's head, a body, an answer, and a piece of a stream
// are one each.

/**
 * Drives a task of task.rs: awaits each promise that it returns, and settles with what else it
 * returns.
 *
 * A client is what has the signal of its leaving: a Request, with the compatibility flag
 * enable_request_signal, or an AbortController. What waits when the context of a request ends is
 * never woken. The Rust behind it would stay in memory, and write no log line: so it is woken
 * before.
 */
export function drive(step, client) {
  return new Promise((resolve, reject) => {
    let turn = 0;
    function advance(value, isError) {
      const mine = (turn += 1);
      try {
        const next = step(value, isError);
        if (!(next instanceof Promise)) return resolve(next);
        next.then(
          (value) => mine === turn && advance(value, false),
          (error) => mine === turn && advance(error, true),
        );
      } catch (error) {
        reject(error);
      }
    }
    client.signal.addEventListener("abort", () => advance(client.signal.reason, true), { once: true });
    advance(undefined, false);
  });
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

/** The first line and the headers of a Request or a Response, a line each. */
export function head(message) {
  let lines = message.method ? `${message.method} ${message.url}` : `${message.status}`;
  for (const [name, value] of message.headers) lines += `\n${name}:${value}`;
  return lines;
}

/** The body of a Request or a Response, or null if it is longer than limit bytes. */
export function read(message, limit) {
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
export function send(method, url, headers, text, bytes, client) {
  const { signal } = client;
  return fetch(url, { method, headers: record(headers), body: body(text, bytes), redirect: "manual", signal });
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

/** Names and values, a line each, by turns. A record is half the price of a list of pairs. */
function record(lines) {
  const parts = lines.split("\n");
  const record = {};
  for (let i = 0; i + 1 < parts.length; i += 2) {
    const [name, value] = [parts[i], parts[i + 1]];
    // RFC 9110: several lines of one name are a list.
    record[name] = Object.hasOwn(record, name) ? `${record[name]}, ${value}` : value;
  }
  return record;
}

// --- Streams ------------------------------------------------------------------------------------

export function reader(message) {
  return (message.body ?? new Blob().stream()).getReader();
}

/** The next piece, or null at the end. */
export async function chunk(reader) {
  const { done, value } = await reader.read();
  return done ? null : value;
}

export function cancel(reader) {
  reader.cancel().catch(() => {}); // of a stream that has failed
}

// What step() is told. Its answer is a byte that is 1 if the answer is over, and what the client
// gets.
const CHUNK = 0;
const END = 1;
const FAILED = 2;
const CANCELLED = 3;
const NOTHING = new Uint8Array();

async function next(reader, step) {
  let result;
  try {
    result = await reader.read();
  } catch (error) {
    return step(FAILED, new TextEncoder().encode(error.message));
  }
  return result.done ? step(END, NOTHING) : step(CHUNK, result.value);
}

const IDLE_MS = 15_000;
const COMMENT = new TextEncoder().encode(": keep-alive\n\n");

/** An answer in Server-Sent Events. It reads on only when the client has taken what there is. */
export function events(headers, reader, step) {
  // What the first piece had in it behind the first frame.
  let first = step(CHUNK, NOTHING);
  let gone = false;
  let heard = Date.now();
  let timer;
  const body = new ReadableStream(
    {
      start(controller) {
        // One timer for the whole answer: one for each piece takes as long as the piece.
        const check = () => {
          const idle = Date.now() - heard;
          // What the client has not taken keeps the connection alive as well.
          if (idle >= IDLE_MS && controller.desiredSize === 0) controller.enqueue(COMMENT);
          timer = setTimeout(check, idle < IDLE_MS ? IDLE_MS - idle : IDLE_MS);
        };
        timer = setTimeout(check, IDLE_MS);
      },
      async pull(controller) {
        for (;;) {
          const out = first ?? (await next(reader, step));
          first = undefined;
          heard = Date.now();
          if (gone) return;
          if (out.length > 1) controller.enqueue(out.subarray(1));
          if (out[0] === 1) {
            clearTimeout(timer);
            cancel(reader);
            return controller.close();
          }
          if (out.length > 1) return;
        }
      },
      cancel() {
        gone = true;
        clearTimeout(timer);
        step(CANCELLED, NOTHING);
        cancel(reader);
      },
    },
    { highWaterMark: 0 },
  );
  return new Response(body, { headers: record(headers) });
}

// More than an honest client has under way, and little enough to keep in memory.
const MAX_WAITING = 16;

// https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1
const POLICY_VIOLATION = 1008;
const INTERNAL_ERROR = 1011;

/** A WebSocket that takes prompts, a message each, and answers them one after the other. */
export function socket(open) {
  const [client, server] = Object.values(new WebSocketPair());
  server.binaryType = "arraybuffer";
  server.accept();

  let gone = false;
  let leave = () => {}; // what ends the answer that is being sent
  let waiting = 0;
  let last = Promise.resolve();

  async function answer(data) {
    if (gone) return;
    const client = new AbortController();
    leave = () => client.abort();
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : new Uint8Array(data);
    const opened = await open(bytes, client);
    if (typeof opened === "string") {
      if (!gone) server.send(opened);
      return;
    }
    const [reader, step] = opened;
    leave = () => {
      step(CANCELLED, NOTHING);
      cancel(reader);
    };
    if (gone) return leave();
    for (let out = step(CHUNK, NOTHING); ; out = await next(reader, step)) {
      if (gone) return;
      for (const message of new TextDecoder().decode(out.subarray(1)).split("\n")) {
        if (message) server.send(message);
      }
      if (out[0] === 1) return cancel(reader);
    }
  }

  function close(code, reason) {
    gone = true;
    leave();
    server.close(code, reason);
  }

  server.addEventListener("message", ({ data }) => {
    if (gone) return;
    if (waiting === MAX_WAITING) return close(POLICY_VIOLATION, "too many prompts at once");
    waiting += 1;
    last = last
      .then(() => answer(data))
      .catch(() => gone || close(INTERNAL_ERROR, "internal error"))
      .finally(() => (waiting -= 1));
  });
  for (const end of ["close", "error"]) {
    server.addEventListener(end, () => {
      gone = true;
      leave();
    });
  }
  return new Response(null, { status: 101, webSocket: client });
}
