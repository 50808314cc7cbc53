// Calls the Messages API with Anthropic's package `@anthropic-ai/sdk` and its helpers, and prints the
// results by name, as JSON. anthropic_sdk.py does the same in Python.
//
//   node anthropic_sdk.mjs URL TOKEN CASE...
//
// The variable MODEL names another model than Opus.
import Anthropic from "@anthropic-ai/sdk";
import { betaZodTool } from "@anthropic-ai/sdk/helpers/beta/zod";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";

const OPUS = process.env.MODEL ?? "claude-opus-5-5";
const SONNET = "claude-sonnet-4-6";

const [url, token, ...names] = process.argv.slice(2);

let requests = 0;

function newClient(options) {
  const counted = (...request) => {
    requests += 1;
    return fetch(...request);
  };
  return new Anthropic({ baseURL: url, apiKey: null, authToken: token, maxRetries: 0, fetch: counted, ...options });
}

const client = newClient();

const ask = (content, parameters) => ({
  model: OPUS,
  max_tokens: 4096,
  messages: [{ role: "user", content }],
  ...parameters,
});

const text = (message) => message.content.map((block) => block.text ?? "").join("");

/** Returns what an application sees of the error of a call, and how often the client sent it. */
async function errorOf(call) {
  requests = 0;
  try {
    await call();
  } catch (error) {
    if (!(error instanceof Anthropic.AnthropicError)) throw error;
    return {
      class: error.constructor.name,
      status: error.status ?? null,
      type: error.type ?? null,
      message: error.apiMessage ?? error.message,
      has_request_id: Boolean(error.requestID),
      requests,
    };
  }
  return { requests };
}

/** Applies a function to each entry, one after the other, so that requests can be counted. */
async function mapValues(object, map) {
  const mapped = {};
  for (const [name, value] of Object.entries(object)) mapped[name] = await map(value);
  return mapped;
}

const cases = {
  async create() {
    const message = await client.messages.create(ask("Hello", { system: "Be brief." }));
    return {
      text: text(message),
      model: message.model,
      role: message.role,
      stop_reason: message.stop_reason,
      input_tokens: message.usage.input_tokens,
      output_tokens: message.usage.output_tokens,
      has_id: message.id.startsWith("msg_"),
      has_request_id: Boolean(message._request_id),
    };
  },

  async stream() {
    const parameters = ask("Hello, 世界 👋", { thinking: { type: "adaptive" } });
    const types = [];
    let deltas = "";
    const events = client.messages.stream(parameters).on("text", (delta) => (deltas += delta));
    for await (const event of events) if (!types.includes(event.type)) types.push(event.type);
    const final = await events.finalMessage();
    const whole = await client.messages.create(parameters);
    return {
      types,
      text: deltas,
      model: final.model,
      stop_reason: final.stop_reason,
      output_tokens: final.usage.output_tokens,
      is_that_of_create: isDeepStrictEqual(
        JSON.parse(JSON.stringify(final.content)),
        JSON.parse(JSON.stringify(whole.content)),
      ),
    };
  },

  async tools() {
    const calls = [];
    const getWeather = betaZodTool({
      name: "get_weather",
      description: "Tells the weather.",
      inputSchema: z.object({ city: z.string().describe("The city.") }),
      run: ({ city }) => {
        calls.push(["get_weather", { city }]);
        return `sunny in ${city}`;
      },
    });
    const getTime = betaZodTool({
      name: "get_time",
      description: "Tells the time.",
      inputSchema: z.object({}),
      run: () => {
        calls.push(["get_time", {}]);
        return "9:00";
      },
    });
    const prompt = '[[tool get_weather {"city":"東京"}]] [[tool get_time]]';
    const parameters = ask(prompt, { tools: [getWeather, getTime], thinking: { type: "adaptive" } });
    const replies = {};
    for (const [name, stream] of Object.entries({ whole: false, streamed: true })) {
      replies[name] = text(await client.beta.messages.toolRunner({ ...parameters, stream }).runUntilDone());
    }
    return { calls, ...replies };
  },

  async parse() {
    const recipe = '{"title":"お茶","minutes":3,"steps":["Boil","Wait"]}';
    const shape = z.object({ title: z.string(), minutes: z.number(), steps: z.array(z.string()) });
    const format = { output_config: { format: zodOutputFormat(shape) } };
    const parameters = ask(`[[say ${recipe}]]`, { model: SONNET, ...format });
    const parsed = await client.messages.parse(parameters);
    const streamed = await client.messages.stream(parameters).finalMessage();
    return { parsed: parsed.parsed_output, streamed: streamed.parsed_output };
  },

  /** Sends thinking back as it came, with the result of a tool, and altered. */
  async thinking() {
    const tool = { name: "get_time", input_schema: { type: "object", properties: {} } };
    const parameters = ask("[[think Hm.]] [[tool get_time]]", { thinking: { type: "adaptive" }, tools: [tool] });
    const first = await client.messages.stream(parameters).finalMessage();
    const call = first.content.at(-1);
    const result = { type: "tool_result", tool_use_id: call.id, content: "9:00" };
    const turns = (content) => ({
      ...parameters,
      messages: [
        ...parameters.messages,
        { role: "assistant", content },
        { role: "user", content: [result] },
      ],
    });
    const second = await client.messages.create(turns(first.content));
    const altered = structuredClone(first.content);
    altered[0].thinking += "!";
    return {
      first: first.content.map((block) => block.type),
      thinking: first.content[0].thinking,
      input: call.input,
      second: text(second),
      altered: await errorOf(() => client.messages.create(turns(altered))),
    };
  },

  async content() {
    const document = {
      type: "document",
      source: { type: "text", media_type: "text/plain", data: "The sky is blue." },
      title: "Notes",
      citations: { enabled: true },
    };
    const image = { type: "image", source: { type: "base64", media_type: "image/png", data: "aGk=" } };
    const cited = ask([document, image, { type: "text", text: "Why?" }]);
    const whole = await client.messages.create(cited);
    const streamed = await client.messages.stream(cited).finalMessage();
    const refused = await client.messages.create(ask("[[refuse]]"));
    return {
      whole: whole.content[0].citations.map((it) => it.cited_text),
      streamed: streamed.content[0].citations.map((it) => it.cited_text),
      refused: [refused.stop_reason, refused.content.length],
      cut: (await client.messages.create(ask("one two three", { max_tokens: 2 }))).stop_reason,
      stopped: (await client.messages.create(ask("one", { stop_sequences: ["said"] }))).stop_sequence,
    };
  },

  async cache() {
    const control = { type: "ephemeral", ttl: "1h" };
    const system = [{ type: "text", text: "word ".repeat(600), cache_control: control }];
    const usages = [];
    for (const name of ["one", "two"]) {
      usages.push((await client.messages.create(ask(name, { system }))).usage);
    }
    usages.push((await client.messages.stream(ask("three", { system })).finalMessage()).usage);
    return usages.map((it) => [
      it.input_tokens,
      it.cache_creation_input_tokens ?? 0,
      it.cache_read_input_tokens ?? 0,
    ]);
  },

  async count_tokens() {
    const tools = [{ name: "get_time", input_schema: { type: "object", properties: {} } }];
    const parameters = {
      messages: [{ role: "user", content: "one two three four five six seven" }],
      system: "Be brief.",
    };
    const counted = (await client.messages.countTokens({ model: SONNET, ...parameters })).input_tokens;
    const estimated = await client.messages.countTokens({ model: OPUS, tools, ...parameters });
    return { counted, is_estimated: estimated.input_tokens >= counted };
  },

  async models() {
    requests = 0;
    const paged = [];
    for await (const model of client.models.list({ limit: 3 })) paged.push(model.id);
    const pages = requests;
    const all = await client.models.list({ limit: 1000 });
    const opus = await client.models.retrieve(OPUS);
    const after = await client.models.list({ after_id: all.data[0].id, limit: 1 });
    return {
      pages: pages > 1,
      is_all: isDeepStrictEqual(paged, all.data.map((model) => model.id)),
      has_other_makers: paged.includes("nova-2-lite"),
      has_more: all.has_more,
      after: after.data[0].id === paged[1],
      opus: [opus.id, opus.type, Boolean(opus.display_name), Boolean(opus.created_at)],
      unknown: await errorOf(() => client.models.retrieve("claude-2")),
    };
  },

  /** Asks for betas and a field that Bedrock refuses, as other clients do by habit. */
  async beta() {
    const betas = ["prompt-caching-scope-2026-01-05", "effort-2025-11-24"];
    const parameters = ask("Hello", { betas, service_tier: "auto" });
    const { data, response } = await client.beta.messages.create(parameters).withResponse();
    return { text: text(data), removed: response.headers.get("x-bedrock-removed") };
  },

  async errors() {
    const image = { type: "image", source: { type: "url", url: "https://example.com/a.png" } };
    const search = { type: "web_search_20250305", name: "web_search" };
    const server = { type: "url", name: "a", url: "https://example.com" };
    const create = (parameters) => () => client.messages.create(parameters);
    const rows = {
      "wrong token": () => newClient({ authToken: "wrong" }).messages.create(ask("Hello")),
      "wrong key": () => newClient({ authToken: null, apiKey: "wrong" }).messages.create(ask("Hello")),
      "unknown model": create(ask("Hello", { model: "claude-2" })),
      "max_tokens of 0": create(ask("Hello", { max_tokens: 0 })),
      "an image by URL": create(ask([image])),
      "web search": create(ask("Hello", { tools: [search] })),
      mcp_servers: () => client.beta.messages.create(ask("Hello", { mcp_servers: [server] })),
      "a large body": create(ask("x".repeat(60_000))),
    };
    for (const fault of FAULTS) rows[fault] = create(ask(`fault:${fault}`));
    return mapValues(rows, errorOf);
  },

  /** Lets the client repeat what failed: once with success, and where a retry may help. */
  async retries() {
    const retrying = newClient({ maxRetries: 1 });
    const rows = {
      throttled: () => retrying.messages.create(ask("fault:throttled")),
      access_denied: () => retrying.messages.create(ask("fault:access_denied")),
      validation: () => retrying.messages.create(ask("fault:validation")),
      "wrong token": () => newClient({ authToken: "wrong", maxRetries: 1 }).messages.create(ask("Hi")),
    };
    return mapValues(rows, async (call) => (await errorOf(call)).requests);
  },

  /** Has a spent budget. A retry is useless until it is renewed. */
  async budget() {
    const error = await errorOf(() => newClient({ maxRetries: 2 }).messages.create(ask("Hello")));
    return [error.class, error.status, error.requests];
  },

  async stream_errors() {
    const faults = ["stream_exception", "stream_timeout", "stream_internal", "stream_end", "stream_cut", "stream_hang_up"];
    const consume = (fault) => () => client.messages.stream(ask(`fault:${fault}`)).done();
    const rows = Object.fromEntries(faults.map((fault) => [fault, consume(fault)]));
    return mapValues(rows, async (call) => (await errorOf(call)).type);
  },
};

const FAULTS = [
  "throttled",
  "unavailable",
  "server_error",
  "model_timeout",
  "access_denied",
  "not_found",
  "validation",
  "hang_up_before",
  "not_json",
];

const outcomes = {};
for (const name of names) outcomes[name] = await cases[name]();
console.log(JSON.stringify(outcomes));
