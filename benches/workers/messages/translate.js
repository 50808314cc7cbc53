// The translation of a body of the Messages API for Bedrock: what Bedrock would refuse is removed, and listed.
import { Failure } from "../function/failure.js";

const MODEL = "claude-opus-5-5";
const MAX_OUTPUT_TOKENS = 128_000;
const MAX_BREAKPOINTS = 4;
const TOOL_SEARCH = "tool-search-tool-2025-10-19";
const RENAMED = { "advanced-tool-use": TOOL_SEARCH };
const REFUSED = new Set([
  "prompt-caching-scope", "advisor-tool", "code-execution", "files-api", "mcp-client", "skills", "fast-mode", "web-search",
  "web-fetch", "output-128k", "token-efficient-tools", "structured-outputs",
]);
const PAIRS = { safeguards: "dangerous-tool-use-2026-09-03", context_management: "context-management-2025-06-27", compaction: "compact-2026-09-04" };
const REMOVED = ["speed", "fallbacks"];
const LACKING = ["mcp_servers", "container", "thread", "inference_geo"];
const SERVER_TOOLS = /^(?:web_search|web_fetch|code_execution|advisor|mcp|mcp_toolset)[\d_]*$/;
const USER_ID = /^[a-zA-Z0-9\s:_@$#=/+,.-]{0,256}$/;

const stem = (name) => name.replace(/[\d-]+$/, "");
const invalid = (message) => new Failure("invalid_request", message);

/** Returns the body for Bedrock, the betas, the model that the caller named, and what was removed. */
export async function translate(text, header, config) {
  let parsed;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw invalid(`the body is not a JSON object: ${error.message}`);
  }
  const { model, stream, anthropic_beta = [], service_tier, ...body } = parsed;
  if (model === undefined) throw invalid("model: Field required");
  if (model !== MODEL && model !== config.model) {
    throw new Failure("model_not_allowed", `model: ${model} is not available here: GET /v1/models lists those that are`);
  }
  const removed = [];
  const betas = chooseBetas([...(header ?? "").split(",").map((name) => name.trim()).filter(Boolean), ...anthropic_beta], removed);
  const has = (beta) => betas.some((name) => stem(name) === stem(beta));
  for (const [member, beta] of Object.entries(PAIRS)) {
    if (body[member] !== undefined && !has(beta)) betas.push(beta);
  }
  for (const name of REMOVED) {
    if (body[name] === undefined) continue;
    delete body[name];
    removed.push(name);
  }
  for (const name of LACKING) {
    if (body[name]) throw invalid(`${name}: Bedrock does not have it: remove it from the request`);
  }
  if (body.max_tokens === undefined) throw invalid("max_tokens: Field required");
  if (body.max_tokens > MAX_OUTPUT_TOKENS) {
    body.max_tokens = MAX_OUTPUT_TOKENS;
    removed.push("max_tokens");
  }
  const userId = body.metadata?.user_id;
  if (config.isNative && userId !== undefined && !USER_ID.test(userId)) {
    const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(userId));
    body.metadata = { ...body.metadata, user_id: new Uint8Array(hash).toHex() };
    removed.push("metadata.user_id");
  }
  const breakpoints = [];
  tools(body.tools ?? [], breakpoints, removed, () => has(TOOL_SEARCH) || betas.push(TOOL_SEARCH));
  if (Array.isArray(body.system)) body.system = blocks("system", body.system, breakpoints, removed);
  if (!Array.isArray(body.messages)) throw invalid("messages: Field required");
  if (body.messages.at(-1)?.role === "assistant") {
    const place = `messages.${body.messages.length - 1}.role`;
    throw invalid(`${place}: This model does not support assistant message prefill. The conversation must end with a user message.`);
  }
  body.messages.forEach((message, index) => {
    if (Array.isArray(message.content)) message.content = blocks(`messages.${index}.content`, message.content, breakpoints, removed);
  });
  const tooMany = Math.max(breakpoints.length - MAX_BREAKPOINTS, 0);
  for (const [place, block] of breakpoints.slice(2, 2 + tooMany)) {
    delete block.cache_control;
    removed.push(place);
  }
  const front = config.isNative
    ? { model: config.model, stream }
    : { anthropic_version: "bedrock-2023-05-31", anthropic_beta: betas.length > 0 ? betas : undefined };
  return { body: JSON.stringify({ ...front, ...body }), betas, model, removed };
}

function chooseBetas(names, removed) {
  const betas = [];
  for (const name of names) {
    const sent = REFUSED.has(stem(name)) ? undefined : (RENAMED[stem(name)] ?? name);
    if (sent !== name) removed.push(`betas.${name}`);
    if (sent !== undefined && !betas.includes(sent)) betas.push(sent);
  }
  return betas;
}

function tools(tools, breakpoints, removed, search) {
  tools.forEach((tool, index) => {
    const place = `tools.${index}`;
    if (SERVER_TOOLS.test(tool.type ?? "")) {
      throw invalid(`${place}.type: Bedrock does not have the tool ${tool.type}: remove it from the request`);
    }
    for (const name of ["eager_input_streaming", "strict"]) {
      if (tool[name] === undefined) continue;
      delete tool[name];
      removed.push(`${place}.${name}`);
    }
    if (tool.custom?.defer_loading !== undefined) {
      tool.defer_loading = tool.custom.defer_loading;
      delete tool.custom;
      removed.push(`${place}.custom`);
    }
    if (tool.defer_loading) search();
    if (tool.input_schema && tool.input_schema.type === undefined) {
      tool.input_schema.type = "object";
      removed.push(`${place}.input_schema.type`);
    }
    breakpoint(place, tool, breakpoints, removed);
  });
}

function blocks(place, list, breakpoints, removed) {
  const isEmpty = ({ type, text }) => type === "text" && text === "";
  const hasOthers = list.some((block) => !isEmpty(block));
  return list.filter((block, index) => {
    const at = `${place}.${index}`;
    if (hasOthers && isEmpty(block)) {
      removed.push(at);
      return false;
    }
    if (block.source?.type === "url" || block.source?.type === "file") {
      throw invalid(`${at}.source.type: Bedrock takes base64 only: send the data itself`);
    }
    for (const name of ["id", "tool_use_id"]) {
      if (block[name] === undefined || /^[\w-]*$/.test(block[name])) continue;
      block[name] = block[name].replace(/[^\w-]/g, "_");
      removed.push(`${at}.${name}`);
    }
    if (Array.isArray(block.content)) block.content = blocks(`${at}.content`, block.content, breakpoints, removed);
    breakpoint(at, block, breakpoints, removed);
    return true;
  });
}

/** Notes a breakpoint of the cache, without its scope. */
function breakpoint(place, block, breakpoints, removed) {
  if (block.cache_control === undefined) return;
  const at = `${place}.cache_control`;
  if (block.cache_control.scope !== undefined) {
    delete block.cache_control.scope;
    removed.push(`${at}.scope`);
  }
  breakpoints.push([at, block]);
}
