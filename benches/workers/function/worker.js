// The function of bedrock-edge in JavaScript, as a Worker. Its requests, responses and log lines are those
// in the README of bedrock-edge. The caller of worker() provides the signing.
//
// It lacks what JSON.parse and request.text() do not report: repeated keys, bodies that are not UTF-8, and
// incomplete bodies. It also lacks what the benchmark does not use: WebSockets, limits, fallback regions,
// roles, the Invoke API, and authentication other than API tokens.
import { authenticate } from "./auth.js";
import { Deadline, post } from "./call.js";
import { readConfig } from "./config.js";
import { Failure, invalidResponse } from "./failure.js";
import { finish, log, newRecord, recordUsage } from "./record.js";
import { checkHeaders, parseRequest, payload, tooLarge } from "./request.js";
import { Generation, respondWithEvents } from "./stream.js";

/** @param signedFetch returns, for a configuration, a function that is called in place of fetch. */
export function worker(signedFetch) {
  let config;
  let call;
  return {
    async fetch(request, env) {
      if (config === undefined) {
        config = readConfig(env);
        call = signedFetch(config);
      }
      const record = newRecord(config);
      const deadline = new Deadline(request.signal, config.timeoutMs);
      const context = { config, call, record, deadline, attempts: 0, started: Date.now() };
      return respond(request, context).finally(() => deadline.stop());
    },
  };
}

async function respond(request, context) {
  const { config, record } = context;
  let prompt = "";
  let text;
  let failure;
  try {
    const handler = route(request);
    if (handler !== undefined) return handler(context);
    if (config.tokens !== undefined) record.caller = await authenticate(request.headers, config.tokens);
    checkHeaders(request.headers, config);
    const body = await request.text();
    if (body.length > config.maxBodyBytes) throw tooLarge(config.maxBodyBytes);
    const parsed = parseRequest(body, config);
    prompt = parsed.prompt;
    if (parsed.stream ?? prefersEvents(request.headers)) {
      return await respondWithEvents(new Generation(parsed, record, config), config.streamUrl, payload(parsed), context);
    }
    text = await invoke(parsed, context);
  } catch (error) {
    failure = error instanceof Failure ? error : new Failure("internal", "Bedrock invocation failed", { cause: error.message });
    text = `Error: ${failure.message}`;
  }
  const headers = { "Content-Type": "application/json; charset=utf-8" };
  if (failure !== undefined) fail(failure, record, headers);
  finish(context, headers);
  if (record.level === "error" && context.deadline.clientDisconnected) {
    Object.assign(record, { level: "info", outcome: "cancelled", status: 499, error: undefined });
  }
  log(record, config);
  return new Response(JSON.stringify({ input_prompt: prompt, generated_text: text }), { status: record.status, headers });
}

/** Returns the handler of a request, or undefined for a call of the function. Throws for an unknown path or method. */
function route({ method, url }) {
  const path = url.slice(url.indexOf("/", 8)).split("?", 1)[0];
  if (path === "/" && method === "POST") return undefined;
  if (path !== "/" && path !== "/healthz") throw new Failure("not_found", "there is nothing at this path");
  const allow = path === "/" ? "GET, HEAD, OPTIONS, POST" : "GET, HEAD, OPTIONS";
  if (method === "OPTIONS") return options(allow);
  if (method !== "GET" && method !== "HEAD") throw new Failure("method_not_allowed", `the method must be one of ${allow}`, { allow });
  return (context) => respondWithoutCall(context, 200, {}, method === "GET" ? JSON.stringify({ input_prompt: "", generated_text: "ok" }) : null);
}

const options = (allow) => (context) => respondWithoutCall(context, 204, { allow }, null);

function respondWithoutCall(context, status, additional, body) {
  const headers = { "Content-Type": "application/json; charset=utf-8", ...additional };
  context.record.status = status;
  finish(context, headers);
  log(context.record, context.config);
  return new Response(body, { status, headers });
}

/** Reports whether the client names Server-Sent Events, and with no lower weight than JSON has. */
function prefersEvents(headers) {
  const accept = headers.get("accept");
  if (accept === null || accept === "*/*") return false;
  const weights = {};
  for (const range of accept.split(",")) {
    const [name, ...parameters] = range.split(";").map((part) => part.trim().toLowerCase());
    const weight = parameters.find((parameter) => parameter.startsWith("q="))?.slice(2);
    weights[name] = /^(?:1(?:\.0{0,3})?|0(?:\.\d{0,3})?)$/.test(weight) ? Number(weight) : 1;
  }
  const { "text/event-stream": events = 0, "application/json": exact, "application/*": application, "*/*": any } = weights;
  return events > 0 && events >= (exact ?? application ?? any ?? 0);
}

async function invoke(request, context) {
  const { config, record } = context;
  const started = Date.now();
  try {
    const response = await post(config.invokeUrl, payload(request), context);
    const reply = await response.json().catch((error) => {
      if (context.deadline.timedOut) throw context.deadline.failure(error);
      throw invalidResponse(`the body is not Claude's JSON: ${error.message}`);
    });
    const texts = (Array.isArray(reply.content) ? reply.content : []).filter(({ type, text }) => type === "text" && typeof text === "string");
    if (texts.length === 0) throw invalidResponse("expected a text block in the reply, got none");
    recordUsage(record, reply.stop_reason, reply.usage);
    return texts.length === 1 ? texts[0].text : texts.map(({ text }) => text).join("");
  } finally {
    record.upstream_ms = Date.now() - started;
  }
}

function fail({ code, status, cause, allow, challenge, retryAfter }, record, headers) {
  record.outcome = code;
  record.status = status;
  record.error = cause;
  headers["x-error-code"] = code;
  if (allow) headers.allow = allow;
  if (challenge) headers["www-authenticate"] = challenge;
  if (retryAfter) headers["retry-after"] = retryAfter;
}
