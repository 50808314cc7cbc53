// The variables, which are parsed once per isolate.
import { parseTokens } from "./auth.js";

/** Parses the variables. Throws an error that lists all problems. */
export function readConfig(env) {
  const problems = [];
  const text = (name) => (env[name] === undefined ? "" : String(env[name]).trim());
  const read = (name, fallback, parse, problem) => {
    const value = parse(text(name) || fallback);
    if (value === undefined) problems.push(`${name} ${problem}`);
    return value;
  };
  const number = (isValid) => (text) => {
    const value = Number(text);
    return text !== "" && isValid(value) ? value : undefined;
  };
  const matching = (pattern) => (text) => (pattern.test(text) ? text : undefined);
  const secret = (name) => read(name, "", matching(/^[!-~]+$/), "is not set");

  const region = read("BEDROCK_REGION", "ap-northeast-1", matching(/^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/), "must be the name of a region, such as ap-northeast-1");
  const model = read("BEDROCK_MODEL_ID", "apac.anthropic.claude-sonnet-4-20250514-v1:0", matching(/^[\w.:/-]{1,2048}$/), "must be a model id, an inference profile's id or an ARN");
  const maxTokens = read("MAX_TOKENS", "100", number((it) => Number.isInteger(it) && it >= 1), "must be a whole number from 1");
  const temperature = read("TEMPERATURE", "0.7", number((it) => it >= 0 && it <= 1), "must be a number from 0 to 1, or empty");
  const maxBodyBytes = read("MAX_BODY_BYTES", "1048576", number((it) => Number.isInteger(it) && it >= 1 && it <= 25_000_000), "must be a whole number from 1 to 25000000, the most that Bedrock takes");
  const logLevel = read("LOG_LEVEL", "info", (it) => { const index = LEVELS.indexOf(it.toLowerCase()); return index < 0 ? undefined : index; }, "must be debug, info, warn or error");
  const milliseconds = (name, fallback) =>
    read(name, fallback, number((it) => Number.isInteger(it) && it >= 1 && it <= 3_600_000), "must be a whole number of milliseconds from 1 to 3600000");
  const timeoutMs = milliseconds("BEDROCK_TIMEOUT_MS", "25000");
  const stallMs = milliseconds("BEDROCK_STALL_MS", "30000");
  const maxAttempts = read("BEDROCK_MAX_ATTEMPTS", "3", number((it) => Number.isInteger(it) && it >= 1 && it <= 10), "must be a whole number from 1 to 10");
  const tokens = parseTokens(text("AUTH"), text("API_TOKENS"));
  if (tokens === null) problems.push("API_TOKENS or AUTH=open must say who may call");
  const credentials = {
    accessKeyId: secret("AWS_ACCESS_KEY_ID"),
    secretAccessKey: secret("AWS_SECRET_ACCESS_KEY"),
    sessionToken: text("AWS_SESSION_TOKEN") || undefined,
  };
  const endpoint = text("AWS_ENDPOINT_URL_BEDROCK_RUNTIME") || `https://bedrock-runtime.${region}.amazonaws.com`;
  if (problems.length > 0) throw new Error(problems.join("; "));

  const modelUrl = `${endpoint}/model/${encodeURIComponent(model)}`;
  return {
    region, model, maxTokens, temperature, maxBodyBytes, logLevel, credentials,
    timeoutMs, stallMs, maxAttempts, tokens, endpoint,
    invokeUrl: `${modelUrl}/invoke`,
    streamUrl: `${modelUrl}/invoke-with-response-stream`,
  };
}

export const LEVELS = ["debug", "info", "warn", "error"];
