// The types of bedrock-edge. They use those of Workers: @cloudflare/workers-types, or what `wrangler types` writes.

import { DurableObject, WorkerEntrypoint } from "cloudflare:workers";

/** The options of an instance. Each wins over the variables in `env` that say the same. */
export interface Options {
  /** The region of Bedrock, as `BEDROCK_REGION`. The model must exist there. */
  region?: string;
  /** The model, as `BEDROCK_MODEL_ID`. */
  model?: string;
  /** The path that all routes are below, such as `/ai`, as `BASE_PATH`. */
  basePath?: string;
  /**
   * Who may call `fetch`. With `"open"`, everybody. A function is called with each request except a browser's preflight,
   * before anything of its body is read. It returns the name of the caller, or the response for a client that may not call. The variables
   * of authentication (`AUTH`, `API_TOKENS`, `JWT_…`, `CLIENT_KEYS`) then have no effect.
   */
  auth?: "open" | ((request: Request) => Caller | Response | Promise<Caller | Response>);
  /** Gets the record of each request in place of the console. `LOG_LEVEL` decides which. */
  log?: (record: LogRecord) => void;
  /** The beginning of the names of all variables and bindings that this instance reads: with `AI_`, `AI_MAX_TOKENS`. */
  envPrefix?: string;
}

/** A caller whom the embedding Worker has authenticated. */
export interface Caller {
  /** The name, of 1 to 256 characters. It is logged as `app:NAME`, and limits count by it. */
  caller: string;
}

/** The record of a request, or a warning about the configuration. docs/operations.md describes the fields. */
export interface LogRecord {
  level: "debug" | "info" | "warn" | "error";
  outcome?: string;
  status?: number;
  request_id?: string;
  caller?: string;
  [field: string]: unknown;
}

/** Returns an instance. Instances with the same options share what they have learnt about Bedrock; others share nothing. */
export function bedrock(options?: Options): Bedrock;

/** An instance. */
export interface Bedrock {
  /**
   * Responds to a request, on the routes of the Worker. `env` is that of the Worker by default; the context is not
   * needed.
   */
  fetch(request: Request, env?: object, context?: object): Promise<Response>;
  /**
   * Returns the reply to a prompt or a conversation.
   *
   * @throws {BedrockError} if there is none
   */
  generate(input: string | Fields, options?: CallOptions): Promise<Generated>;
  /** Streams the reply to a prompt or a conversation. The call is made when the reply is read. */
  stream(input: string | Fields, options?: CallOptions): ReplyStream;
  /**
   * Signs a request to any service of AWS with Signature Version 4, with the credentials of the instance. Send what it
   * returns with `fetch`. The body of the argument is read.
   *
   * @throws {BedrockError} if there are no credentials that sign, or the request cannot be signed
   */
  sign(request: Request, options?: SignOptions): Promise<Request>;
}

/** The options of a signature. */
export interface SignOptions {
  /** The signing name of the service. By default the host says it: `https://SERVICE.REGION.amazonaws.com/`. */
  service?: string;
  /** The region. By default the host says it, or it is the region of the instance. */
  region?: string;
  /** Cancels waiting for the credentials of a role. */
  signal?: AbortSignal;
  /** The variables and bindings, instead of those of the Worker. */
  env?: object;
}

/** The options of a call. */
export interface CallOptions {
  /** Cancels the call. What waits for it rejects with the reason of the signal. */
  signal?: AbortSignal;
  /** The name of the caller, as of the option `auth`. */
  caller?: string;
  /** The variables and bindings, instead of those of the Worker. */
  env?: object;
}

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
  /** The model of the instance, which is the default, or one of `ALLOWED_MODELS`. */
  model?: string;
  /** A session: `true` starts one, an id goes on with it. docs/sessions.md describes them. */
  session?: true | string;
}

/** The numbers of tokens that a call is billed for. */
export interface Usage {
  input_tokens: number | null;
  output_tokens: number | null;
  cache_read_input_tokens?: number;
  cache_creation_input_tokens?: number;
}

/** A reply of the model. */
export interface Generated {
  input_prompt: string;
  generated_text: string;
  /** Why the model stopped, such as `end_turn` or `max_tokens`. */
  stop_reason: string | null;
  usage: Usage;
  /** Present if a guardrail has blocked or masked something. */
  guardrail_action?: "INTERVENED";
  /** The id of the request in the log. */
  request_id: string;
  /** The id of the session, if the call is of one. */
  session?: string;
  /** The number of oldest turns that the session has lost with this one, if any. */
  dropped_turns?: number;
}

/** An event of a streamed reply: one `start`, any number of `delta`s, one `done`. */
export type ReplyEvent =
  | { type: "start"; request_id: string; model: string; session?: string; dropped_turns?: number }
  | { type: "delta"; text: string }
  | {
      type: "done";
      input_prompt: string;
      generated_text: string;
      stop_reason: string | null;
      usage: Usage;
      guardrail_action?: "INTERVENED";
    };

/** A streamed reply, which can be read once. Whoever stops reading cancels the call to Bedrock. */
export interface ReplyStream extends AsyncIterable<ReplyEvent> {
  /**
   * Iterates over the events.
   *
   * @throws {BedrockError} if the reply fails, also in its middle
   */
  [Symbol.asyncIterator](): AsyncGenerator<ReplyEvent, void, undefined>;
  /**
   * Returns the reply as Server-Sent Events. If the call fails before the first event, the response has the status of the
   * error, and JSON with the fields of {@link BedrockError}.
   */
  toResponse(): Promise<Response>;
}

/** The error codes. docs/reference.md describes them. */
export type ErrorCode =
  | "invalid_request"
  | "thread_unsupported_request"
  | "unauthorized"
  | "forbidden"
  | "model_not_allowed"
  | "not_found"
  | "method_not_allowed"
  | "payload_too_large"
  | "unsupported_media_type"
  | "request_timeout"
  | "upgrade_required"
  | "rate_limited"
  | "too_many_in_flight"
  | "budget_exceeded"
  | "misconfigured"
  | "issuer_unavailable"
  | "internal"
  | "throttled"
  | "timeout"
  | "unavailable"
  | "access_denied"
  | "model_not_found"
  | "rejected"
  | "model_error"
  | "no_text"
  | "refusal"
  | "guardrail"
  | "invalid_response"
  | "truncated"
  | "overloaded"
  | "session_busy"
  | "sessions_unavailable"
  | "limits_unavailable";

/** The error of a call that got no reply. */
export class BedrockError extends Error {
  readonly name: "BedrockError";
  /** The reason, as in the header `x-error-code`. Later versions may have more. */
  readonly code: ErrorCode | (string & {});
  /** The status of the same response over HTTP. */
  readonly status: number;
  /** Whether the same call may succeed later. */
  readonly retryable: boolean;
  /** The id of the request in the log. It is absent for an error in the middle of a stream. */
  readonly request_id?: string;
}

/** The Worker itself: `export { default, CallerLedger, CallerSessions } from "bedrock-edge"`. */
declare const worker: {
  fetch(request: Request, env?: object, context?: object): Promise<Response>;
};
export default worker;

/** The class of the Durable Objects behind the binding `LEDGER`, which count the tokens of each caller. */
export class CallerLedger extends DurableObject {
  fetch(request: Request): Promise<Response>;
}

/** The class of the Durable Objects behind the binding `SESSIONS`, which keep the conversations of each caller. */
export class CallerSessions extends DurableObject {
  fetch(request: Request): Promise<Response>;
  alarm(): Promise<void>;
}

/** The entry point for service bindings of other Workers, whose `props.caller` is the caller. */
export class BedrockEntrypoint extends WorkerEntrypoint<object, { caller?: string } | undefined> {
  /** Responds to an HTTP request, which needs a credential. */
  fetch(request: Request): Promise<Response>;
  /** Returns the reply as Server-Sent Events. */
  generate(fields: Fields & { stream: true }): Promise<ReadableStream<Uint8Array>>;
  /** Returns the whole reply. */
  generate(fields: Fields & { stream?: false }): Promise<Generated>;
}
