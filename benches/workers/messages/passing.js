// Claude's events on their way to the client, with the caller's model and without what is Bedrock's own.
import { exception } from "../function/failure.js";
import { Frames } from "../function/frames.js";
import { recordUsage } from "../function/record.js";
import { sse } from "../function/stream.js";

const BEDROCKS_OWN = "amazon-bedrock-";
const REPEATED = ["input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"];

export const errorBody = (type, message, { request_id }) => JSON.stringify({ type: "error", error: { type, message }, request_id });

/** The events in the frames of InvokeModelWithResponseStream. */
export { Frames as FrameEvents };

/** The events in the Server-Sent Events of Bedrock's own Messages API. */
export class SseEvents {
  #decoder = new TextDecoder();
  #rest = "";

  *push(chunk) {
    const parts = (this.#rest + this.#decoder.decode(chunk, { stream: true })).split("\n\n");
    this.#rest = parts.pop();
    for (const part of parts) {
      for (const line of part.split("\n")) if (line.startsWith("data: ")) yield JSON.parse(line.slice(6));
    }
  }
}

/** Converts the bytes of Bedrock's stream to the Server-Sent Events of Anthropic's. */
export class Passing {
  keepAlive = 'event: ping\ndata: {"type":"ping"}\n\n';
  hasBegun = false;
  isOver = false;
  #events;
  #usage = {};
  #out = "";

  constructor(events, model, record, headers, stallMs) {
    this.#events = events;
    this.model = model;
    this.record = record;
    this.headers = headers;
    this.stallMs = stallMs;
  }

  push(chunk) {
    for (const event of this.#events.push(chunk)) {
      this.hasBegun = true;
      this.#handle(event);
      if (this.isOver) return;
    }
  }

  #handle(event) {
    switch (event.type) {
      case "message_start":
        event.message.model = this.model;
        this.#record(undefined, event.message.usage);
        break;
      case "message_delta":
        event.usage = { ...this.#repeated(event.usage), ...event.usage };
        this.#record(event.delta?.stop_reason, event.usage);
        break;
      case "message_stop":
        for (const name of Object.keys(event)) if (name.startsWith(BEDROCKS_OWN)) delete event[name];
        this.record.outcome = "ok";
        this.isOver = true;
        break;
      case "error":
        throw exception(event.error?.type ?? "", event.error?.message ?? "");
    }
    this.#out += sse(event.type, event);
  }

  #record(stopReason, usage) {
    Object.assign(this.#usage, usage);
    recordUsage(this.record, stopReason, usage);
  }

  /** The numbers that Anthropic repeats in the last usage of a stream and Bedrock reports at its start only. */
  #repeated(usage) {
    return Object.fromEntries(REPEATED.filter((name) => this.#usage[name] !== undefined && usage?.[name] === undefined).map((name) => [name, this.#usage[name]]));
  }

  fail({ code, message, cause }) {
    this.#out += `event: error\ndata: ${errorBody("api_error", message, this.record)}\n\n`;
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
