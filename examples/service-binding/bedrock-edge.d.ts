// The types of a service binding to bedrock-edge. `stream` decides which of the two is returned.

/** The fields of a request's body. */
export interface Fields {
  /** Not blank. By default a greeting. */
  prompt?: string;
  /** 1 to `MAX_TOKENS`, which is also the default. */
  max_tokens?: number;
  /** 0 to 1. By default `TEMPERATURE`. */
  temperature?: number;
  /** The system prompt, not blank. */
  system?: string;
  /** Texts that end the answer, not blank. */
  stop_sequences?: string[];
  /** `BEDROCK_MODEL_ID`, which is also the default, or one of `ALLOWED_MODELS`. */
  model?: string;
}

/** An answer. */
export interface Generated {
  input_prompt: string;
  generated_text: string;
  /** Such as `end_turn` or `max_tokens`. */
  stop_reason: string | null;
  /** What the call is billed by. */
  usage: { input_tokens: number | null; output_tokens: number | null };
  /** As in bedrock-edge's log. */
  request_id: string;
}

/** What `generate` throws. To a caller with a compatibility date before 2026 only the message
 * arrives, with the code in front of it. */
export interface BedrockError extends Error {
  /** A word of `x-error-code`, such as `throttled`. */
  code: string;
  /** What HTTP would have answered. */
  status: number;
  request_id: string;
}

/** The binding. */
export interface Bedrock {
  /** As over HTTP, with the authentication that bedrock-edge asks for there. */
  fetch(input: Request | URL | string, init?: RequestInit): Promise<Response>;
  /** The answer in Server-Sent Events: `start`, `delta`s, then `done` or `error`. */
  generate(fields: Fields & { stream: true }): Promise<ReadableStream<Uint8Array>>;
  /** The answer. */
  generate(fields: Fields & { stream?: false }): Promise<Generated>;
}
