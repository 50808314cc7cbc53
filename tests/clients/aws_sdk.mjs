// Calls Bedrock's own API with the AWS SDK for JavaScript, and prints the results by case, as JSON.
// boto3_bedrock.py does the same in Python, and has comments on the cases. The client speaks HTTP/2 over https, which
// is its default, and HTTP/1.1 over http.
//
// usage: aws_sdk.mjs CASE...
import {
  ApplyGuardrailCommand,
  BedrockRuntimeClient,
  BedrockRuntimeServiceException,
  ConverseCommand,
  ConverseStreamCommand,
  CountTokensCommand,
  InvokeModelCommand,
  InvokeModelWithResponseStreamCommand,
  ListAsyncInvokesCommand,
} from "@aws-sdk/client-bedrock-runtime";
import { NodeHttpHandler } from "@smithy/node-http-handler";

const CLAUDE = "global.anthropic.claude-opus-5-5";
const COUNTED = "anthropic.claude-sonnet-4-6";
const NOVA = "amazon.nova-2-lite-v1:0";
const EMBEDDING = "amazon.titan-embed-text-v2:0";

// Without it the SDK sends application/octet-stream, which Bedrock refuses.
const JSON_TYPE = "application/json";

const WEATHER = {
  toolSpec: {
    name: "get_weather",
    description: "Tells the weather.",
    inputSchema: { json: { type: "object", properties: { city: { type: "string" } } } },
  },
};

// `undefined` is the default of the client.
const requestHandler = process.env.AWS_ENDPOINT_URL.startsWith("https:") ? undefined : new NodeHttpHandler({ requestTimeout: 60_000 });

const newClient = (options = {}) =>
  new BedrockRuntimeClient({
    region: "ap-northeast-1",
    endpoint: process.env.AWS_ENDPOINT_URL,
    requestHandler,
    maxAttempts: 1,
    ...options,
  });
const client = newClient();

const text = (bytes) => new TextDecoder().decode(bytes);
const user = (...content) => [{ role: "user", content }];
const messages = (prompt) =>
  JSON.stringify({ anthropic_version: "bedrock-2023-05-31", max_tokens: 1024, messages: [{ role: "user", content: prompt }] });

async function all(stream) {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}

/** Removes what differs from call to call, and what is undefined. */
function withoutLatency(value) {
  const volatile = ["latencyMs", "invocationLatency", "firstByteLatency"];
  return JSON.parse(JSON.stringify(value, (key, it) => (volatile.includes(key) ? undefined : it)));
}

function result({ $metadata, ...response }) {
  return withoutLatency(response);
}

/** Returns what an application sees of the error of a call. */
async function errorOf(call) {
  try {
    await call();
  } catch (error) {
    return {
      class: error.constructor.name,
      is_declared: error instanceof BedrockRuntimeServiceException,
      name: error.name,
      message: error.message,
      status: error.$metadata?.httpStatusCode ?? null,
      has_request_id: Boolean(error.$metadata?.requestId),
      attempts: error.$metadata?.attempts ?? null,
    };
  }
  return null;
}

async function errorsOf(rows) {
  const outcomes = {};
  for (const [name, call] of Object.entries(rows)) outcomes[name] = await errorOf(call);
  return outcomes;
}

const invokeModel = (prompt, more = {}) => client.send(new InvokeModelCommand({ modelId: CLAUDE, contentType: JSON_TYPE, body: messages(prompt), ...more }));
const converseNova = (prompt) => client.send(new ConverseCommand({ modelId: NOVA, messages: user({ text: prompt }) }));

async function consumeInvoke(prompt) {
  const { body } = await client.send(new InvokeModelWithResponseStreamCommand({ modelId: CLAUDE, contentType: JSON_TYPE, body: messages(prompt) }));
  return (await all(body)).map(({ chunk }) => JSON.parse(text(chunk.bytes)));
}

async function consumeConverse(prompt, modelId = NOVA, more = {}) {
  const { stream } = await client.send(new ConverseStreamCommand({ modelId, messages: user({ text: prompt }), ...more }));
  return all(stream);
}

const FAULTS = ["throttled", "server_error", "unavailable", "access_denied", "validation", "not_found", "model_timeout", "model_error", "model_not_ready", "quota"];
const STREAM_FAULTS = ["stream_exception", "stream_model_error", "stream_internal", "stream_validation", "stream_unavailable"];

const cases = {
  async protocol() {
    return client.config.requestHandler.metadata.handlerProtocol;
  },

  async invoke() {
    const { body, contentType, $metadata } = await invokeModel("こんにちは", { accept: JSON_TYPE });
    return { body: JSON.parse(text(body)), contentType, has_request_id: Boolean($metadata.requestId), attempts: $metadata.attempts };
  },

  async invoke_stream() {
    return withoutLatency(await consumeInvoke("Hi, 世界 👋"));
  },

  async converse() {
    const request = {
      modelId: CLAUDE,
      messages: user({ text: "Hello" }),
      system: [{ text: "Be brief." }],
      inferenceConfig: { maxTokens: 512, stopSequences: ["!!!"] },
      additionalModelRequestFields: { thinking: { type: "adaptive" } },
      additionalModelResponseFieldPaths: ["/stop_sequence"],
      requestMetadata: { team: "example" },
    };
    return result(await client.send(new ConverseCommand(request)));
  },

  async converse_stream() {
    return withoutLatency(await consumeConverse("[[think Hm.]] Hello", CLAUDE));
  },

  async other_makers() {
    const body = { inferenceConfig: { maxTokens: 50 }, messages: user({ text: "Hello" }) };
    const invoked = await client.send(new InvokeModelCommand({ modelId: NOVA, contentType: JSON_TYPE, body: JSON.stringify(body) }));
    const embedding = JSON.stringify({ inputText: "one two", dimensions: 256 });
    const embedded = await client.send(new InvokeModelCommand({ modelId: EMBEDDING, contentType: JSON_TYPE, body: embedding }));
    return {
      whole: result(await converseNova("Hello")),
      streamed: withoutLatency(await consumeConverse("[[say Hi]]")),
      invoked: JSON.parse(text(invoked.body)),
      embedded: JSON.parse(text(embedded.body)).inputTextTokenCount,
    };
  },

  async tools() {
    const turns = user({ text: '[[tool get_weather {"city":"東京"}]]' });
    const toolConfig = { tools: [WEATHER], toolChoice: { auto: {} } };
    const first = await client.send(new ConverseCommand({ modelId: CLAUDE, messages: turns, toolConfig }));
    const { message } = first.output;
    const { toolUseId } = message.content[0].toolUse;
    const answer = { toolUseId, content: [{ json: { degrees: 21 } }], status: "success" };
    const longer = [...turns, message, { role: "user", content: [{ toolResult: answer }] }];
    const second = await client.send(new ConverseCommand({ modelId: CLAUDE, messages: longer, toolConfig }));
    const streamed = await consumeConverse(turns[0].content[0].text, CLAUDE, { toolConfig });
    return { first: result(first), second: result(second), streamed: withoutLatency(streamed) };
  },

  async count_tokens() {
    const counts = [{ invokeModel: { body: messages("one two three") } }, { converse: { messages: user({ text: "one two three" }) } }];
    const count = (input) => client.send(new CountTokensCommand({ modelId: COUNTED, input }));
    return [(await count(counts[0])).inputTokens, (await count(counts[1])).inputTokens];
  },

  async guardrail() {
    const guardrailConfig = { guardrailIdentifier: "abc123", guardrailVersion: "1", trace: "enabled" };
    const request = { modelId: CLAUDE, messages: user({ text: "a forbidden word" }), guardrailConfig };
    const applied = { guardrailIdentifier: "abc123", guardrailVersion: "DRAFT", source: "OUTPUT", content: [{ text: { text: "Ask jane@example.com." } }] };
    return {
      whole: result(await client.send(new ConverseCommand(request))),
      streamed: withoutLatency(await consumeConverse("a forbidden word", CLAUDE, { guardrailConfig })),
      applied: result(await client.send(new ApplyGuardrailCommand(applied))),
    };
  },

  async errors() {
    const calls = { invoke: invokeModel, invoke_stream: consumeInvoke, converse: converseNova, converse_stream: consumeConverse };
    const outcomes = {};
    for (const [name, call] of Object.entries(calls)) {
      outcomes[name] = await errorsOf(Object.fromEntries(FAULTS.map((fault) => [fault, () => call(`fault:${fault}`)])));
    }
    return outcomes;
  },

  async stream_errors() {
    const outcomes = {};
    for (const fault of STREAM_FAULTS) {
      outcomes[fault] = [await errorOf(() => consumeInvoke(`fault:${fault}`)), await errorOf(() => consumeConverse(`fault:${fault}`))];
    }
    return outcomes;
  },

  async refused() {
    const guardrail = { guardrailIdentifier: "missing1", guardrailVersion: "1", source: "INPUT", content: [{ text: { text: "Hi" } }] };
    return errorsOf({
      "a blank text": () => converseNova(" "),
      "an unknown model": () => consumeConverse("Hi", "acme.model-v1:0"),
      "a missing guardrail": () => client.send(new ApplyGuardrailCommand(guardrail)),
    });
  },

  async not_served() {
    return errorsOf({ list_async_invokes: () => client.send(new ListAsyncInvokesCommand({})) });
  },

  async retries() {
    const retrying = newClient({ maxAttempts: 3 });
    const { $metadata, stopReason } = await retrying.send(new ConverseCommand({ modelId: NOVA, messages: user({ text: "fault:throttled#2" }) }));
    return [$metadata.attempts, stopReason];
  },

  async credentials() {
    const { accessKeyId, secretAccessKey } = await client.config.credentials();
    const call = (credentials) => newClient({ credentials }).send(new ConverseCommand({ modelId: CLAUDE, messages: user({ text: "Hi" }) }));
    return errorsOf({
      "a wrong secret": () => call({ accessKeyId, secretAccessKey: "wrong" }),
      "an unknown key": () => call({ accessKeyId: "AKIAUNKNOWN7EXAMPLES", secretAccessKey }),
      "a session token that nobody issued": () => call({ accessKeyId, secretAccessKey, sessionToken: "token" }),
    });
  },
};

const outcomes = {};
for (const name of process.argv.slice(2)) outcomes[name] = await cases[name]();
console.log(JSON.stringify(outcomes));
