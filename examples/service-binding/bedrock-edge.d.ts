// The types of a service binding to bedrock-edge.

/** A message of a conversation. */
export interface Message {
  role: "user" | "assistant";
  /** A text that is not blank, or several. */
  content: string | { type: "text"; text: string }[];
}

/** The fields of a request. */
export interface Fields {
  /** The prompt, not blank. The default is "Hello, how can I help you?". */
  prompt?: string;
  /** A conversation in place of `prompt`, which begins with the user. */
  messages?: Message[];
  /** The limit of generated tokens, from 1 to `MAX_TOKENS`, which is the default. */
  max_tokens?: number;
  /** The temperature, from 0 to 1. The default is `TEMPERATURE`. */
  temperature?: number;
  /** The system prompt, not blank. */
  system?: string;
  /** Texts that end the reply, not blank. */
  stop_sequences?: string[];
  /** `BEDROCK_MODEL_ID`, which is the default, or one of `ALLOWED_MODELS`. */
  model?: string;
  /** A session: `true` starts one, an id goes on with it. docs/sessions.md describes them. */
  session?: true | string;
}

/** A reply of the model. */
export interface Generated {
  input_prompt: string;
  generated_text: string;
  /** Why the model stopped, such as `end_turn` or `max_tokens`. */
  stop_reason: string | null;
  /** The numbers of tokens that the call is billed for. */
  usage: { input_tokens: number | null; output_tokens: number | null };
  /** Present if a guardrail has blocked or masked something. */
  guardrail_action?: "INTERVENED";
  /** The id of the request in bedrock-edge's log. */
  request_id: string;
  /** The id of the session, if the call is of one. */
  session?: string;
  /** The number of oldest turns that the session has lost with this one, if any. */
  dropped_turns?: number;
}

/** The error that `generate` throws. A caller with a compatibility date before 2026 gets only a message,
 * which begins with the code. */
export interface BedrockError extends Error {
  /** An error code as in `x-error-code`, such as `throttled`. */
  code: string;
  /** The status of the same response over HTTP. */
  status: number;
  /** Whether the same call may succeed later. */
  retryable: boolean;
  request_id: string;
}

/** The binding. */
export interface Bedrock {
  /** Sends an HTTP request, which needs the same credential as one from outside. */
  fetch(input: Request | URL | string, init?: RequestInit): Promise<Response>;
  /** Returns the reply as Server-Sent Events: `start`, `delta`s, then `done` or `error`. */
  generate(fields: Fields & { stream: true }): Promise<ReadableStream<Uint8Array>>;
  /** Returns the whole reply. */
  generate(fields: Fields & { stream?: false }): Promise<Generated>;
}
