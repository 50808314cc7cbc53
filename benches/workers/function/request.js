// Validates the request of the caller.
import { Failure } from "./failure.js";

const FIELDS = ["prompt", "messages", "max_tokens", "temperature", "system", "stop_sequences", "model", "stream"];
/** The members of EventBridge's events. */
const EVENT_FIELDS = ["version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail"];
const DEFAULT_PROMPT = "Hello, how can I help you?";

export function checkHeaders(headers, { maxBodyBytes }) {
  const contentType = headers.get("content-type");
  // The usual value needs no parser.
  if (contentType !== null && contentType !== "application/json") checkMediaType(contentType.toLowerCase());
  const encoding = headers.get("content-encoding");
  if (encoding !== null && encoding !== "" && encoding.toLowerCase() !== "identity") {
    throw new Failure("unsupported_media_type", "the body must come without a Content-Encoding");
  }
  if (headers.get("content-length") > maxBodyBytes) throw tooLarge(maxBodyBytes);
}

/** Equal lines, which fetch joins with commas, are one. */
function checkMediaType(lines) {
  const [contentType, ...others] = lines.split(/,(?=(?:[^"]*"[^"]*")*[^"]*$)/).map((line) => line.trim());
  if (others.some((other) => other !== contentType)) {
    throw new Failure("unsupported_media_type", "the Content-Type must be application/json");
  }
  const [essence, ...parameters] = contentType.split(";").map((part) => part.trim());
  if (!/^application\/(?:json|.*\+json)$/.test(essence)) {
    throw new Failure("unsupported_media_type", "the Content-Type must be application/json");
  }
  const charset = parameters.find((parameter) => parameter.startsWith("charset="))?.slice(8).replace(/^"|"$/g, "");
  if (charset !== undefined && charset !== "utf-8" && charset !== "utf8") {
    throw new Failure("unsupported_media_type", "the charset must be utf-8");
  }
}

export function tooLarge(maxBodyBytes) {
  return new Failure("payload_too_large", `the body must have ${maxBodyBytes} bytes at most`);
}

export function parseRequest(text, config) {
  let body = {};
  if (text.trim() !== "") {
    try {
      body = JSON.parse(text);
    } catch (error) {
      throw invalid(`the body is not JSON: ${error.message}`);
    }
    if (typeof body !== "object" || body === null || Array.isArray(body)) throw invalid("the body must be a JSON object");
  }
  const prompt = body.prompt ?? defaultPrompt(body);
  const max_tokens = body.max_tokens ?? config.maxTokens;
  const temperature = body.temperature ?? config.temperature;
  const system = body.system ?? undefined;
  const stop_sequences = body.stop_sequences ?? [];
  const stream = body.stream ?? undefined;
  checkText("prompt", prompt);
  if (!Number.isInteger(max_tokens) || max_tokens < 1 || max_tokens > config.maxTokens) {
    throw invalid(`max_tokens must be a whole number from 1 to ${config.maxTokens}`);
  }
  if (typeof temperature !== "number" || !(temperature >= 0 && temperature <= 1)) {
    throw invalid("temperature must be a number from 0 to 1");
  }
  if (system !== undefined) checkText("system", system);
  if (!Array.isArray(stop_sequences)) throw invalid("stop_sequences must be an array of strings");
  stop_sequences.forEach((text, index) => checkText(`stop_sequences[${index}]`, text));
  if (stream !== undefined && typeof stream !== "boolean") throw invalid("stream must be true or false");
  return { prompt, max_tokens, temperature, system, stop_sequences, stream };
}

/** The prompt of a body without one, which must not be of another kind: the default prompt is billed. */
function defaultPrompt(body) {
  const unknown = Object.keys(body).find((name) => !FIELDS.includes(name) && !EVENT_FIELDS.includes(name));
  if (unknown === undefined) return DEFAULT_PROMPT;
  const name = JSON.stringify(unknown.slice(0, 64));
  throw invalid(`the body has no prompt and no messages, but the unknown member ${name}: the known members are ${FIELDS.join(", ")}`);
}

function checkText(field, value) {
  if (typeof value !== "string") throw invalid(`${field} must be a string`);
  // trim() would copy the text.
  if (!/\S/.test(value)) throw invalid(`${field} must not be blank`);
}

function invalid(message) {
  return new Failure("invalid_request", message);
}

export function payload({ prompt, max_tokens, temperature, system, stop_sequences }) {
  return JSON.stringify({
    anthropic_version: "bedrock-2023-05-31",
    messages: [{ role: "user", content: prompt }],
    max_tokens,
    temperature,
    system,
    stop_sequences: stop_sequences.length > 0 ? stop_sequences : undefined,
  });
}
