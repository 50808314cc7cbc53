// The record of a request: its log line, and the headers that describe it.
import { identifier } from "./call.js";
import { LEVELS } from "./config.js";

/** A record without what is not known yet. JSON.stringify() leaves out what is undefined. */
export function newRecord({ model, region }) {
  return {
    level: "info", outcome: "ok", status: 200, request_id: crypto.randomUUID(), caller: undefined, model, region,
    upstream_status: undefined, x_amzn_requestid: undefined, retries: 0, input_tokens: undefined, output_tokens: undefined,
    cache_read_input_tokens: undefined, cache_creation_input_tokens: undefined, stop_reason: undefined, upstream_ms: undefined,
    total_ms: undefined, removed: undefined, session: undefined, error: undefined,
  };
}

/** Records the stop reason and the token counts of a reply. */
export function recordUsage(record, stopReason, usage) {
  record.stop_reason = identifier(stopReason) ?? record.stop_reason;
  record.input_tokens = usage?.input_tokens ?? record.input_tokens;
  record.output_tokens = usage?.output_tokens ?? record.output_tokens;
  record.cache_read_input_tokens = usage?.cache_read_input_tokens || record.cache_read_input_tokens;
  record.cache_creation_input_tokens = usage?.cache_creation_input_tokens || record.cache_creation_input_tokens;
}

/** Sets the headers that describe the call. */
export function finish({ record, attempts, started }, headers) {
  record.total_ms = Date.now() - started;
  record.level = record.status >= 500 ? "error" : record.status >= 400 ? "warn" : "info";
  headers["Cache-Control"] ??= "no-store";
  headers["X-Content-Type-Options"] = "nosniff";
  headers["x-request-id"] = record.request_id;
  if (record.x_amzn_requestid !== undefined) headers["x-amzn-requestid"] = record.x_amzn_requestid;
  if (attempts > 0) {
    headers["x-bedrock-attempts"] = String(attempts);
    headers["x-bedrock-region"] = record.region;
  }
  if (record.removed !== undefined) headers["x-bedrock-removed"] = record.removed.join(", ");
  if (record.stop_reason !== undefined) headers["x-stop-reason"] = record.stop_reason;
  if (record.input_tokens !== undefined) headers["x-amzn-bedrock-input-token-count"] = String(record.input_tokens);
  if (record.output_tokens !== undefined) headers["x-amzn-bedrock-output-token-count"] = String(record.output_tokens);
  if (record.upstream_ms !== undefined) headers["server-timing"] = `bedrock;dur=${record.upstream_ms}, total;dur=${record.total_ms}`;
}

/** Logs the line of a request. */
export function log(record, { logLevel }) {
  if (LEVELS.indexOf(record.level) >= logLevel) console.log(JSON.stringify(record));
}
