// Calls Claude with Anthropic's @anthropic-ai/bedrock-sdk, and prints the results by case, as JSON.
// anthropic_bedrock.py does the same in Python.
//
// usage: anthropic_bedrock.mjs CASE...
import AnthropicBedrock from "@anthropic-ai/bedrock-sdk";

const CLAUDE = "global.anthropic.claude-opus-5-5";

const newClient = (options = {}) =>
  new AnthropicBedrock({ awsRegion: "ap-northeast-1", baseURL: process.env.AWS_ENDPOINT_URL, maxRetries: 0, ...options });
const client = newClient();

const ask = (prompt, parameters = {}) => ({ model: CLAUDE, max_tokens: 1024, messages: [{ role: "user", content: prompt }], ...parameters });
const text = ({ content }) => content.map((block) => (block.type === "text" ? block.text : "")).join("");

async function errorOf(call) {
  try {
    await call();
  } catch (error) {
    return { class: error.constructor.name, status: error.status, body: error.error };
  }
  return null;
}

const cases = {
  async create() {
    const message = await client.messages.create(ask("Hello, 世界 👋"));
    return [text(message), message.model, message.stop_reason, message.usage.output_tokens];
  },

  async stream() {
    const final = await client.messages.stream(ask("Hello", { thinking: { type: "adaptive" } })).finalMessage();
    return [final.content, final.stop_reason, final.usage.output_tokens];
  },

  async tools() {
    const tool = { name: "get_time", input_schema: { type: "object", properties: {} } };
    const parameters = ask("[[tool get_time]]", { tools: [tool] });
    const first = await client.messages.create(parameters);
    const result = { type: "tool_result", tool_use_id: first.content[0].id, content: "9:00" };
    const turns = [{ role: "assistant", content: first.content }, { role: "user", content: [result] }];
    const second = await client.messages.create({ ...parameters, messages: [...parameters.messages, ...turns] });
    return [first.stop_reason, text(second)];
  },

  async errors() {
    const outcomes = {};
    for (const fault of ["throttled", "validation", "access_denied", "not_found", "server_error", "model_timeout"]) {
      outcomes[fault] = await errorOf(() => client.messages.create(ask(`fault:${fault}`)));
    }
    return outcomes;
  },

  async credentials() {
    const wrong = newClient({ awsAccessKey: process.env.AWS_ACCESS_KEY_ID, awsSecretKey: "wrong" });
    const error = await errorOf(() => wrong.messages.create(ask("Hello")));
    return [error.class, error.status];
  },

  async bearer() {
    const message = await newClient({ apiKey: process.env.BEARER_TOKEN }).messages.create(ask("[[say Hi]]"));
    const wrong = await errorOf(() => newClient({ apiKey: "wrong" }).messages.create(ask("Hi")));
    return [text(message), wrong.class, wrong.status];
  },
};

const outcomes = {};
for (const name of process.argv.slice(2)) outcomes[name] = await cases[name]();
console.log(JSON.stringify(outcomes));
