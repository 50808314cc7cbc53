// Decodes the frames of application/vnd.amazon.eventstream, and Claude's events in them.
import { EventStreamCodec } from "@smithy/eventstream-codec";
import { exception, invalidResponse } from "./failure.js";

const utf8 = new TextDecoder();
const codec = new EventStreamCodec((bytes) => utf8.decode(bytes), (text) => new TextEncoder().encode(text));

/** The largest frame that the format allows, in bytes. */
const MAX_FRAME_BYTES = 16 << 20;

/** Splits the bytes of a stream into frames, and returns Claude's events in them. */
export class Frames {
  #rest = new Uint8Array();

  /** Returns the events that are complete with this chunk. */
  *push(chunk) {
    let bytes = chunk;
    if (this.#rest.length > 0) {
      bytes = new Uint8Array(this.#rest.length + chunk.length);
      bytes.set(this.#rest);
      bytes.set(chunk, this.#rest.length);
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let offset = 0;
    while (bytes.length - offset >= 4) {
      const length = view.getUint32(offset);
      if (length < 16 || length > MAX_FRAME_BYTES) throw invalidResponse(`expected a frame of 16 to 16777216 bytes, got ${length}`);
      if (bytes.length - offset < length) break;
      const event = read(bytes.subarray(offset, offset + length));
      offset += length;
      if (event !== undefined) yield event;
    }
    this.#rest = bytes.subarray(offset);
  }
}

function read(frame) {
  let message;
  try {
    message = codec.decode(frame);
  } catch (error) {
    throw invalidResponse(`a frame cannot be read: ${error.message}`);
  }
  const { headers, body } = message;
  switch (headers[":message-type"]?.value) {
    case "event":
      return headers[":event-type"]?.value === "chunk" ? event(utf8.decode(body)) : undefined;
    case "exception":
      throw exception(headers[":exception-type"]?.value ?? "", JSON.parse(utf8.decode(body)).message ?? "");
    case "error":
      throw exception(headers[":error-code"]?.value ?? "", headers[":error-message"]?.value ?? "");
    default:
      throw invalidResponse("expected a message with a type, got none");
  }
}

function event(payload) {
  try {
    return JSON.parse(utf8.decode(Uint8Array.fromBase64(JSON.parse(payload).bytes)));
  } catch (error) {
    throw invalidResponse(`a chunk cannot be read: ${error.message}`);
  }
}
