// A streamed turn of Anthropic's Messages API in JavaScript: InvokeModelWithResponseStream, or Bedrock's own Messages API
// with BEDROCK_MESSAGES=native. It applies the rules of bedrock-edge that a turn of Claude Code meets.
//
// It lacks what the benchmark does not use: whole replies, the counting of tokens, the list of models, limits, fallback
// regions, roles, authentication, the parts that a model turns out to refuse, and the rules of other models.
import { Deadline } from "../function/call.js";
import { readConfig } from "../function/config.js";
import { Failure } from "../function/failure.js";
import { finish, log, newRecord } from "../function/record.js";
import { checkHeaders, tooLarge } from "../function/request.js";
import { respondWithEvents } from "../function/stream.js";
import { FrameEvents, Passing, SseEvents, errorBody } from "./passing.js";
import { translate } from "./translate.js";

const TIMEOUT_MS = 600_000;
const MAX_BODY_BYTES = 20_000_000;

const ERRORS = { invalid_request: [400, "invalid_request_error"], model_not_allowed: [404, "not_found_error"], payload_too_large: [413, "request_too_large"] };

/** @param signedFetch returns, for a configuration, a function that is called in place of fetch. */
export function worker(signedFetch) {
  let config;
  let call;
  return {
    async fetch(request, env) {
      if (config === undefined) {
        config = { ...readConfig(env), maxBodyBytes: MAX_BODY_BYTES, isNative: env.BEDROCK_MESSAGES === "native" };
        config.messagesUrl = `${config.endpoint}/anthropic/v1/messages`;
        call = signedFetch(config);
      }
      const record = newRecord(config);
      const deadline = new Deadline(request.signal, TIMEOUT_MS);
      const context = { config, call, record, deadline, attempts: 0, started: Date.now() };
      return respond(request, context).finally(() => deadline.stop());
    },
  };
}

async function respond(request, context) {
  const { config, record } = context;
  const { headers } = request;
  try {
    checkHeaders(headers, config);
    const text = await request.text();
    if (text.length > config.maxBodyBytes) throw tooLarge(config.maxBodyBytes);
    record.session = headers.get("x-claude-code-session-id") ?? undefined;
    if (headers.get("anthropic-version") === null) throw new Failure("invalid_request", "anthropic-version: header is required");
    const { body, betas, model, removed } = await translate(text, headers.get("anthropic-beta"), config);
    if (removed.length > 0) record.removed = removed;
    const events = config.isNative ? new SseEvents() : new FrameEvents();
    const additional = { "request-id": record.request_id };
    const generation = new Passing(events, model, record, additional, TIMEOUT_MS);
    if (!config.isNative) return await respondWithEvents(generation, config.streamUrl, body, context);
    const own = { "anthropic-version": "2023-06-01", ...(betas.length > 0 && { "anthropic-beta": betas.join(",") }) };
    return await respondWithEvents(generation, config.messagesUrl, body, context, own);
  } catch (error) {
    const { code, message, cause } = error instanceof Failure ? error : new Failure("internal", "Internal server error", { cause: error.message });
    const [status, type] = ERRORS[code] ?? [500, "api_error"];
    Object.assign(record, { outcome: code, status, error: cause });
    const headers = { "Content-Type": "application/json; charset=utf-8", "x-error-code": code, "request-id": record.request_id };
    finish(context, headers);
    log(record, config);
    return new Response(errorBody(type, message, record), { status, headers });
  }
}
