// A request like those of Claude Code in the middle of a session, and its response from the upstream of the benchmark.
//
// The order of the members, the headers and the betas are those of Claude Code 2.1.332. The texts are made up.

/** The model that the request names. */
export const MODEL = "claude-opus-5-5";
export const MODEL_ID = "global.anthropic.claude-opus-5-5";

const TOOLS = 50;
const ROUNDS = 24;

/** Lines like those of source code, with the characters that JSON escapes. */
function lines(count, seed) {
  return Array.from({ length: count }, (_, index) => {
    const number = (seed * 7919 + index * 104729) % 99991;
    return `${String(index + 1).padStart(5)}→\tconst entry${number} = await read("src/module-${number}.ts", { encoding: "utf-8" }); // ${index % 8 === 0 ? "設定を読む" : "reads a module"}`;
  }).join("\n");
}

/** Sentences like those of a tool's description or a system prompt. */
function prose(bytes, seed) {
  const sentence = `Use this when the user asks for step ${seed}, and prefer the "quiet" form; never run it on files outside of the working directory.\n`;
  return sentence.repeat(Math.ceil(bytes / sentence.length));
}

function tool(index) {
  const property = (name) => [name, { type: "string", description: `The ${name} of call ${index}: an absolute path, or "-" for the standard input` }];
  return {
    name: `mcp__server_${index % 5}__tool_${index}`,
    description: prose(1800, index),
    input_schema: {
      $schema: "https://json-schema.org/draft/2020-12/schema",
      type: "object",
      properties: {
        ...Object.fromEntries(["file_path", "pattern", "command", "description", "output_mode"].map(property)),
        limit: { type: "number", minimum: 1, description: "How many lines to read" },
        flags: { type: "array", items: { type: "string", enum: ["-i", "-n", "-A", "-B", "-C"] } },
      },
      required: ["file_path"],
      additionalProperties: false,
    },
    ...(index % 10 === 0 && { eager_input_streaming: true }),
    ...(index >= 45 && { defer_loading: true }),
  };
}

const cached = { type: "ephemeral" };

function messages() {
  const list = [
    { role: "user", content: [{ type: "text", text: `<system-reminder>\n${prose(3000, 1)}</system-reminder>` }, { type: "text", text: "Find out why the build fails, and mend it." }] },
    { role: "system", content: [{ type: "text", text: `# Environment\n${prose(9000, 2)}` }], output_config: { effort: "medium" } },
  ];
  for (let round = 0; round < ROUNDS; round++) {
    const id = `toolu_bdrk_01${String(round).padStart(22, "A")}`;
    list.push(
      { role: "assistant", content: [{ type: "text", text: `Step ${round}: I read the next module.` }, { type: "tool_use", id, name: "mcp__server_1__tool_1", input: { file_path: `/home/me/project/src/module-${round}.ts`, limit: 40 } }] },
      { role: "user", content: [{ type: "tool_result", tool_use_id: id, content: lines(41, round), ...(round === ROUNDS - 1 && { cache_control: cached }) }] },
    );
  }
  return list;
}

const request = {
  model: MODEL,
  messages: messages(),
  system: [
    { type: "text", text: "x-anthropic-billing-header: cc_version=2.1.332.1c9; cc_entrypoint=sdk-cli;" },
    { type: "text", text: "You are a Claude agent, built on Anthropic's Claude Agent SDK.", cache_control: { type: "ephemeral", scope: "global" } },
    { type: "text", text: prose(24_000, 3), cache_control: cached },
  ],
  tools: Array.from({ length: TOOLS }, (_, index) => tool(index)),
  metadata: { user_id: JSON.stringify({ device_id: "6ab3".repeat(16), account_uuid: "", session_id: "ca0e53bc-8cd1-4e8f-a970-39af0cc792bb" }) },
  max_tokens: 128_000,
  thinking: { type: "adaptive", display: "omitted" },
  context_management: { edits: [{ type: "clear_thinking_20251015", keep: "all" }] },
  output_config: { effort: "medium" },
  stream: true,
};

const BETAS =
  "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27,prompt-caching-scope-2026-01-05," +
  "per-turn-control-2026-07-01,mid-conversation-tool-changes-2026-07-01,thinking-token-count-2026-05-13,advanced-tool-use-2025-11-20,effort-2025-11-24";

/** The workload. The upstream responds with as many frames, or events. */
export const TURN = {
  path: "v1/messages?beta=true",
  body: request,
  headers: {
    accept: "application/json",
    "user-agent": "claude-cli/2.1.332 (external, sdk-cli)",
    "anthropic-beta": BETAS,
    "anthropic-version": "2023-06-01",
    "anthropic-dangerous-direct-browser-access": "true",
    "x-claude-code-session-id": "ca0e53bc-8cd1-4e8f-a970-39af0cc792bb",
    "x-app": "cli",
  },
  frames: 600,
};

/** The ways to Bedrock, with the variables that choose them and where the upstream serves them. */
export const WAYS = {
  invoke: { variables: { BEDROCK_MODEL_ID: MODEL_ID }, upstreamPath: `/model/${MODEL_ID}/invoke-with-response-stream`, target: 1.5 },
  native: { variables: { BEDROCK_MODEL_ID: MODEL_ID, BEDROCK_MESSAGES: "native" }, upstreamPath: "/anthropic/v1/messages", target: 2 },
};

/** The Workers that serve the Messages API, in the order of a round. */
export const MESSAGES_WORKERS = ["bedrock-edge", "messages-aws4fetch", "pass-through"];
