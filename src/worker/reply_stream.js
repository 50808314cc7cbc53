// A streamed reply for the embedding Worker: as events, or as a Response. Leaving either cancels the call to Bedrock.

import { returned, toLocalError } from "./rpc.js";

export class ReplyStream {
  #open;
  #signal;

  /** The call is made when the reply is wanted. */
  constructor(open, signal) {
    this.#open = open;
    this.#signal = signal;
  }

  #opened() {
    const open = this.#open;
    if (!open) throw new TypeError("a streamed reply can be read once only");
    this.#open = undefined;
    return open();
  }

  /** Resolves with the events as Server-Sent Events, or with the error before the first of them. */
  async toResponse() {
    const response = await this.#opened();
    if (!this.#signal || !response.ok) return response;
    const body = response.body.pipeThrough(new IdentityTransformStream(), { signal: this.#signal });
    return new Response(body, response);
  }

  async *[Symbol.asyncIterator]() {
    const response = await this.#opened();
    if (!response.ok) return returned(response, toLocalError);
    const reader = response.body.getReader();
    const signal = this.#signal;
    const leave = () => reader.cancel(signal.reason).catch(() => {});
    signal?.addEventListener("abort", leave);
    try {
      yield* events(reader);
      signal?.throwIfAborted();
    } finally {
      signal?.removeEventListener("abort", leave);
      reader.cancel().catch(() => {}); // a stream that has failed rejects
    }
  }
}

/** Parses Server-Sent Events. Each is a name and one line of JSON; a comment has neither. */
async function* events(reader) {
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (text + decoder.decode(value, { stream: true })).split("\n\n");
    text = parts.pop();
    for (const part of parts) {
      const [, type, data] = /^event: (.*)\ndata: (.*)$/.exec(part) ?? [];
      if (type === undefined) continue;
      const fields = JSON.parse(data);
      if (type === "error") throw toLocalError({ ...fields, message: fields.message.replace(/^Error: /, "") });
      yield { type, ...fields };
    }
  }
}
