// The part of worker.rs that is JavaScript. Every call between wasm and JavaScript costs, and so
// does every awaited promise: here a message's head, a body and an answer are one each.

/** A variable or a secret. In wrangler.toml a number can stand without quotes. */
export function variable(env, name) {
  const value = env[name];
  return value === undefined || value === null ? undefined : String(value);
}

/** The first line and the headers of a Request or a Response, a line each. */
export function head(message) {
  let lines = message.method ? `${message.method} ${message.url}` : `${message.status}`;
  for (const [name, value] of message.headers) lines += `\n${name}:${value}`;
  return lines;
}

/** The body of a Request or a Response, or null if it is longer than limit bytes. */
export async function read(message, limit) {
  const { headers } = message;
  const length = headers.get("content-length");
  // The length of an encoded body is not the length of what is read.
  if (length !== null && !headers.has("content-encoding")) {
    return length > limit ? null : new Uint8Array(await message.arrayBuffer());
  }
  const chunks = [];
  let sum = 0;
  for await (const chunk of message.body ?? []) {
    sum += chunk.byteLength;
    if (sum > limit) return null; // which cancels the stream
    chunks.push(chunk);
  }
  return new Uint8Array(await new Blob(chunks).arrayBuffer());
}

/** Sends a request. workerd sets Host and Content-Length, and leaves the path as it is. */
export function send(method, url, headers, body) {
  const init = { method, headers: pairs(headers), redirect: "manual" };
  // A copy, because wasm's memory moves when it grows. A buffer, because a stream goes in chunks.
  if (body.length > 0) init.body = body.slice();
  return fetch(url, init);
}

export function respond(status, headers, body) {
  return new Response(body.length > 0 ? body.slice() : null, { status, headers: pairs(headers) });
}

export function random() {
  return crypto.getRandomValues(new Uint8Array(16));
}

/** Names and values, a line each, by turns. */
function pairs(lines) {
  const parts = lines.split("\n");
  const pairs = [];
  for (let i = 0; i + 1 < parts.length; i += 2) pairs.push([parts[i], parts[i + 1]]);
  return pairs;
}
