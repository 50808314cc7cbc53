// A streamed response in Server-Sent Events.
import { post } from "./call.js";
import { Failure, exception, invalidResponse, unavailable } from "./failure.js";
import { Frames } from "./frames.js";
import { finish, log, recordUsage } from "./record.js";

const utf8 = new TextEncoder();
const RETRYABLE = new Set(["throttled", "timeout", "unavailable", "model_error", "truncated"]);
const IDLE_MS = 15_000;

// Escapes the characters at which clients in Python and others break lines.
const json = (data) => JSON.stringify(data).replace(/[\u0085\u2028\u2029]/g, (it) => `\\u${it.charCodeAt(0).toString(16).padStart(4, "0")}`);
export const sse = (name, data) => `event: ${name}\ndata: ${json(data)}\n\n`;

/** Responds when the first frame has arrived. Throws a failure before that. */
export async function respondWithEvents(generation, url, body, context, additional = {}) {
  const { record } = context;
  const started = Date.now();
  let reader;
  try {
    const response = await post(url, body, context, additional);
    reader = response.body.getReader();
    while (!generation.hasBegun) {
      const { done, value } = await reader.read();
      if (done) throw truncated();
      generation.push(value);
    }
  } catch (error) {
    reader?.cancel().catch(() => {});
    throw error instanceof Failure ? error : context.deadline.failure(error);
  } finally {
    record.upstream_ms = Date.now() - started;
  }
  const headers = { "Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-store, no-transform", ...generation.headers };
  // Unknown at the start of a stream.
  const { stop_reason, input_tokens, output_tokens } = record;
  Object.assign(record, { stop_reason: undefined, input_tokens: undefined, output_tokens: undefined });
  finish(context, headers);
  Object.assign(record, { stop_reason, input_tokens, output_tokens });
  record.outcome = "cancelled";
  return new Response(events(reader, generation, context), { headers });
}

function events(reader, generation, { record, config, started }) {
  let isOver = false;
  let lastChunkAt = Date.now();
  let waitingSince = Date.now(); // 0 while the client is not reading
  let keepAlive;
  let stall;
  function end() {
    isOver = true;
    clearInterval(keepAlive);
    clearTimeout(stall);
    record.total_ms = Date.now() - started;
    log(record, config);
    reader.cancel().catch(() => {});
  }
  return new ReadableStream(
    {
      start(controller) {
        // One timer per stream, not one per chunk.
        keepAlive = setInterval(() => {
          if (Date.now() - lastChunkAt >= IDLE_MS) controller.enqueue(utf8.encode(generation.keepAlive));
        }, IDLE_MS);
        const check = () => {
          const waited = waitingSince === 0 ? 0 : Date.now() - waitingSince;
          if (waited < generation.stallMs) {
            stall = setTimeout(check, generation.stallMs - waited);
            return;
          }
          generation.fail(new Failure("timeout", "Bedrock invocation failed", { cause: "cannot read the response: it took too long" }));
          controller.enqueue(utf8.encode(generation.take()));
          end();
          controller.close();
        };
        stall = setTimeout(check, generation.stallMs);
      },
      async pull(controller) {
        for (;;) {
          const text = generation.take();
          if (text !== "") {
            controller.enqueue(utf8.encode(text));
            if (!generation.isOver) return;
          }
          if (generation.isOver) {
            end();
            return controller.close();
          }
          try {
            waitingSince = Date.now();
            const { done, value } = await reader.read();
            if (isOver) return;
            waitingSince = 0;
            if (done) throw truncated();
            lastChunkAt = Date.now();
            generation.push(value);
          } catch (error) {
            generation.fail(error instanceof Failure ? error : unavailable(error));
          }
        }
      },
      cancel: end,
    },
    { highWaterMark: 0 },
  );
}

/** Converts the bytes of Bedrock's stream to Server-Sent Events. */
export class Generation {
  keepAlive = ": keep-alive\n\n";
  hasBegun = false;
  isOver = false;
  #frames = new Frames();
  #text = "";
  #out = "";

  constructor(request, record, { stallMs }) {
    this.request = request;
    this.record = record;
    this.stallMs = stallMs;
  }

  push(chunk) {
    for (const event of this.#frames.push(chunk)) {
      if (!this.hasBegun) {
        this.hasBegun = true;
        this.#out += sse("start", { request_id: this.record.request_id, model: this.record.model });
      }
      this.#handle(event);
      if (this.isOver) return;
    }
  }

  #handle(event) {
    switch (event.type) {
      case "message_start":
        return recordUsage(this.record, undefined, event.message?.usage);
      case "content_block_start":
        return event.content_block?.type === "text" ? this.#append(event.content_block.text) : undefined;
      case "content_block_delta":
        return event.delta?.type === "text_delta" ? this.#append(event.delta.text) : undefined;
      case "message_delta":
        return recordUsage(this.record, event.delta?.stop_reason, event.usage);
      case "message_stop": {
        const { stop_reason = null, input_tokens = null, output_tokens = null } = this.record;
        const usage = { input_tokens, output_tokens };
        this.#out += sse("done", { input_prompt: this.request.prompt, generated_text: this.#text, stop_reason, usage });
        this.record.outcome = "ok";
        this.isOver = true;
        return;
      }
      case "error":
        throw exception(event.error?.type ?? "", event.error?.message ?? "");
    }
  }

  #append(text) {
    if (!text) return;
    this.#text += text;
    this.#out += sse("delta", { text });
  }

  fail(failure) {
    const { code, message, cause } = failure;
    this.#out += sse("error", { code, message: `Error: ${message}`, retryable: RETRYABLE.has(code) });
    Object.assign(this.record, { outcome: code, error: cause, level: "error" });
    this.isOver = true;
  }

  /** Returns the events since the last call. */
  take() {
    const out = this.#out;
    this.#out = "";
    return out;
  }
}

export const truncated = () => invalidResponse("the stream ended before the reply did", "truncated");
