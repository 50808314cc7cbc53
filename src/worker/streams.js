// The JavaScript side of streams.rs: reads Bedrock's response and writes the reply to the client, as Server-Sent Events or
// over a WebSocket.

import { READ_BYTES, cancel, free, outlast, record, utf8 } from "./glue.js";

// The inputs of step(). Its output is a byte of flags, and what the client gets besides a chunk that is passed on.
const CHUNK = 0;
const END = 1;
const FAILED = 2;
const STALLED = 3;
const DISCONNECTED = 4; // the client. After the last output: it has received that, or never will
const NOTHING = new Uint8Array();

// The flags.
const IS_OVER = 1;
const HAS_FRAME = 2;
const PASSES = 4; // the chunk
const IS_BROKEN = 8; // the client is to notice that the response is incomplete
const IS_WAITING = 16; // for the turn of a session to be stored

async function next(reader, step) {
  let result;
  try {
    result = await reader.read();
  } catch (error) {
    return step(FAILED, utf8.encode(error.message));
  }
  return result.done ? step(END, NOTHING) : step(CHUNK, result.value);
}

/** Calls stalled() when no frame came for ms milliseconds, without the time in which none is awaited. */
class Stall {
  #ms;
  #stalled;
  #since = 0; // 0: no frame is awaited
  #timer;

  constructor(ms, stalled) {
    this.#ms = ms;
    this.#stalled = stalled;
    this.#timer = setTimeout(() => this.#check(), ms);
  }

  wait() {
    this.#since = Date.now();
  }

  rest() {
    this.#since = 0;
  }

  stop() {
    clearTimeout(this.#timer);
  }

  #check() {
    const waited = this.#since === 0 ? 0 : Date.now() - this.#since;
    if (waited >= this.#ms) return this.#stalled();
    this.#timer = setTimeout(() => this.#check(), this.#ms - waited);
  }
}

const IDLE_MS = 15_000;

// What comes within so many milliseconds after something was sent is decoded and sent together: a screen with 60 Hz shows no
// difference. Sending a chunk takes as long as reading one, so 64 quick streams are 1.4 times as fast as with 4 ms, and 1.5
// times as with 0 (`npm run bench`, 2026-11). Decoding it together takes 3 % less of a turn of Claude Code than decoding each
// chunk.
const GATHER_MS = 16;

/** How many bytes of a reply may wait for its client. */
const MAX_AHEAD = 16 << 10;

/**
 * Makes a response in Server-Sent Events, or one that is passed on as it came. It reads on only while the client takes what
 * there is. commit() stores the turn of a session, before the last event.
 */
export function events(status, headers, reader, step, stallMs, keepAlive, commit) {
  let over = false;
  let broken = false;
  let heard = Date.now();
  let timer;
  let stall;
  let fail; // ends the response
  const received = new Uint8Array(MAX_AHEAD + READ_BYTES); // from Bedrock, and not decoded
  let receivedSize = 0;
  let waiting = []; // for the client
  let size = 0;
  let hasBegun = false; // with the event "start", after which the first text does not wait
  let sent = 0;
  let gathering; // a timer
  let committing;
  let pulled = () => {}; // wakes the reader
  let arrived = () => {}; // wakes the writer

  function end() {
    over = true;
    clearTimeout(timer);
    clearTimeout(gathering);
    stall.stop();
    cancel(reader);
    pulled();
    arrived();
  }
  function send(bytes) {
    waiting.push(bytes);
    size += bytes.length;
    arrived();
  }
  function add(out, chunk) {
    heard = Date.now();
    if (out[0] & HAS_FRAME) stall.wait();
    // A copy, because what is received next overwrites it.
    if (out[0] & PASSES && chunk.length > 0) send(chunk.slice());
    if (out.length > 1) send(out.subarray(1));
    broken = (out[0] & IS_BROKEN) !== 0;
    if (out[0] & IS_OVER) end();
    if (out[0] & IS_WAITING && !committing) {
      committing = commit().then(() => over || add(step(CHUNK, NOTHING)));
      outlast(committing);
      committing.catch(fail);
    }
  }
  function pass(input, bytes) {
    add(step(input, bytes), bytes);
  }
  /** Decodes what was received, and takes another step. */
  function take(input, bytes) {
    clearTimeout(gathering);
    gathering = undefined;
    const length = receivedSize;
    receivedSize = 0;
    if (length > 0) pass(CHUNK, received.subarray(0, length));
    if (input !== undefined && !over) pass(input, bytes);
  }
  function gather(chunk) {
    // A copy, because the next read overwrites the chunk.
    received.set(chunk, receivedSize);
    receivedSize += chunk.length;
    const early = GATHER_MS - (Date.now() - sent);
    if (early <= 0 || receivedSize >= MAX_AHEAD) return take();
    // It may have a frame, and something was sent just now.
    stall.wait();
    gathering ??= setTimeout(() => {
      try {
        take();
      } catch (error) {
        fail(error);
      }
    }, early);
  }
  async function read() {
    stall.wait();
    // The rest of the first chunk, behind the first frame.
    take(CHUNK, NOTHING);
    while (!over) {
      let result;
      try {
        result = await reader.read();
      } catch (error) {
        return take(FAILED, utf8.encode(error.message));
      }
      if (over) return;
      if (result.done) return take(END, NOTHING);
      gather(result.value);
      if (size < MAX_AHEAD) continue;
      stall.rest();
      while (size >= MAX_AHEAD && !over) await new Promise((resolve) => (pulled = resolve));
      stall.wait();
    }
  }
  const body = new ReadableStream(
    {
      start(controller) {
        // One timer for the whole reply: one for each chunk would take as long as the chunk.
        const check = () => {
          const idle = Date.now() - heard;
          // Data that the client has not taken keeps the connection alive as well.
          if (idle >= IDLE_MS && keepAlive && controller.desiredSize === 0) controller.enqueue(utf8.encode(keepAlive));
          timer = setTimeout(check, idle < IDLE_MS ? IDLE_MS - idle : IDLE_MS);
        };
        timer = setTimeout(check, IDLE_MS);
        // A fault of this program: the client must not wait forever.
        fail = (error) => {
          controller.error(error);
          end();
        };
        stall = new Stall(stallMs, () => take(STALLED, NOTHING));
        read().catch(fail);
      },
      async pull(controller) {
        while (!over && size === 0) await new Promise((resolve) => (arrived = resolve));
        if (size > 0) controller.enqueue(joined(waiting));
        [waiting, size, sent, hasBegun] = [[], 0, hasBegun ? Date.now() : 0, true];
        if (!over) return pulled();
        if (broken) controller.error(new Error("the response of Bedrock is incomplete"));
        else controller.close();
        step(DISCONNECTED, NOTHING);
      },
      cancel() {
        take();
        step(DISCONNECTED, NOTHING);
        end();
      },
    },
    { highWaterMark: 0 },
  );
  return new Response(body, { status, headers: record(headers) });
}

function joined(chunks) {
  if (chunks.length === 1) return chunks[0];
  const all = new Uint8Array(chunks.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}

// More than an honest client sends at once, and few enough to keep in memory.
const MAX_WAITING = 16;
const MAX_WAITING_BYTES = 4 << 20;
// The limit for all sockets together.
const MAX_WAITING_BYTES_OF_ALL = 8 << 20;
let waitingBytesOfAll = 0;

/** A socket is idle if no message comes in so many times the longest silence of a stream: five minutes. */
const STALLS_OF_IDLE = 10;

// https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1
const GOING_AWAY = 1001;
const POLICY_VIOLATION = 1008;
const INTERNAL_ERROR = 1011;
const TRY_AGAIN_LATER = 1013;

/** Returns the bytes of a message. */
function bytesOf(data) {
  return typeof data === "string" ? utf8.encode(data) : new Uint8Array(data);
}

/**
 * Opens a WebSocket that takes requests of up to limit bytes, a message each, and replies to them one after the other.
 * admit() counts a message when it arrives, if requests are counted: it resolves with the reply to one that is one too many.
 */
export function socket(open, admit, protocol, limit, stallMs) {
  const [client, server] = Object.values(new WebSocketPair());
  server.binaryType = "arraybuffer";
  server.accept();

  let gone = false;
  let leave = () => {}; // ends the reply that is being sent
  let waiting = 0;
  let waitingBytes = 0;
  let last = Promise.resolve();

  async function reply(data, client, admitted) {
    if (gone) return;
    leave = () => client.abort();
    let opened = await admitted;
    if (opened === undefined) {
      const bytes = bytesOf(data);
      const opening = open(bytes, client);
      free(bytes);
      opened = await opening;
    }
    if (typeof opened === "string") {
      if (!gone) server.send(opened);
      return;
    }
    const [reader, step, commit] = opened;
    let over = false;
    function send(out) {
      for (const message of new TextDecoder().decode(out.subarray(1)).split("\n")) {
        if (message) server.send(message);
      }
    }
    function end() {
      over = true;
      stall.stop();
      cancel(reader);
    }
    const stall = new Stall(stallMs, () => {
      end();
      send(step(STALLED, NOTHING));
    });
    leave = () => {
      if (over) return;
      step(DISCONNECTED, NOTHING);
      end();
    };
    if (gone) return leave();
    stall.wait();
    // A stream that waits for a commit needs nothing more from Bedrock.
    const after = (out) => (out[0] & IS_WAITING ? step(CHUNK, NOTHING) : next(reader, step));
    for (let out = step(CHUNK, NOTHING); ; out = await after(out)) {
      if (over) return;
      send(out);
      if (out[0] & IS_OVER) {
        step(DISCONNECTED, NOTHING);
        return end();
      }
      if (out[0] & HAS_FRAME) stall.wait();
      if (out[0] & IS_WAITING) {
        stall.rest();
        const committing = commit();
        outlast(committing);
        await committing;
      }
    }
  }

  function close(code, reason) {
    left();
    server.close(code, reason);
  }
  function left() {
    gone = true;
    clearTimeout(timer);
    leave();
  }

  const idleMs = STALLS_OF_IDLE * stallMs;
  let heard = Date.now();
  function check() {
    const left = heard + idleMs - Date.now();
    if (waiting === 0 && left <= 0) close(GOING_AWAY, "idle");
    else timer = setTimeout(check, left > 0 ? left : idleMs);
  }
  let timer = setTimeout(check, idleMs);

  server.addEventListener("message", ({ data }) => {
    if (gone) return;
    let length = data.length ?? data.byteLength;
    if (length > limit) {
      // Enough to tell that it is too long.
      length = limit + 1;
      data = data.slice(0, length);
    }
    const isTooMuch = waiting > 0 && waitingBytes + length > MAX_WAITING_BYTES;
    if (waiting === MAX_WAITING || isTooMuch) return close(POLICY_VIOLATION, "too many prompts at once");
    const areTooMany = waitingBytesOfAll > 0 && waitingBytesOfAll + length > MAX_WAITING_BYTES_OF_ALL;
    if (areTooMany) return close(TRY_AGAIN_LATER, "too many prompts at once");
    heard = Date.now();
    waiting += 1;
    waitingBytes += length;
    waitingBytesOfAll += length;
    const client = new AbortController();
    const admitted = admit?.(client);
    last = last
      .then(() => reply(data, client, admitted))
      .catch(() => gone || close(INTERNAL_ERROR, "internal error"))
      .finally(() => {
        heard = Date.now();
        waiting -= 1;
        waitingBytes -= length;
        waitingBytesOfAll -= length;
      });
  });
  for (const end of ["close", "error"]) {
    server.addEventListener(end, left);
  }
  const headers = protocol ? { "sec-websocket-protocol": protocol } : {};
  return new Response(null, { status: 101, webSocket: client, headers });
}
