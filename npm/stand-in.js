#!/usr/bin/env node
// bedrock-edge-stand-in [--port PORT] [COMMAND...]
//
// A stand-in for Bedrock on this machine, for a first start without an AWS account. It replies to InvokeModel and
// InvokeModelWithResponseStream for the example key of AWS's documentation. With a command it runs it, and ends with it.
//
// It does not check signatures, and has no faults: the stand-in of the project does, which needs Rust.
import { spawn } from "node:child_process";
import { createServer } from "node:http";
import { constants } from "node:os";
import { crc32 } from "node:zlib";

const KEY = "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/";

const args = process.argv.slice(2);
const port = args[0] === "--port" ? Number(args.splice(0, 2)[1]) : 8788;
if (!Number.isInteger(port)) fail("expected --port and a number");

const server = createServer(respond).on("error", ({ code, message }) => {
  fail(code === "EADDRINUSE" ? `port ${port} is in use: end the program that uses it` : message);
});
server.listen(port, "127.0.0.1", () => {
  console.log(`The stand-in for Bedrock is at http://127.0.0.1:${port}`);
  const [command, ...rest] = args;
  if (!command) return;
  const child = spawn(command, rest, { stdio: "inherit" });
  child.on("error", ({ message }) => fail(message));
  child.on("exit", (code, signal) => process.exit(signal ? 128 + constants.signals[signal] : code));
  // A terminal sends SIGINT to the child too, which decides when both end.
  process.on("SIGINT", () => {});
  process.on("SIGTERM", () => child.kill("SIGTERM"));
});

function fail(problem) {
  console.error(`bedrock-edge-stand-in: ${problem}`);
  process.exit(1);
}

async function respond(request, response) {
  let body = "";
  for await (const chunk of request.setEncoding("utf8")) body += chunk;
  const [, model, operation] = /^\/model\/([^/]+)\/(invoke|invoke-with-response-stream)$/.exec(request.url) ?? [];
  if (request.method !== "POST" || !model) return refuse(response, 404, "UnknownOperationException", "no such operation");
  if (!request.headers.authorization?.startsWith(KEY)) {
    return refuse(response, 403, "UnrecognizedClientException", "The security token included in the request is invalid.");
  }
  let message;
  try {
    message = reply(JSON.parse(body), decodeURIComponent(model));
  } catch ({ message: problem }) {
    return refuse(response, 400, "ValidationException", problem);
  }
  if (operation === "invoke") {
    const { input_tokens, output_tokens } = message.usage;
    response.setHeader("x-amzn-bedrock-input-token-count", input_tokens);
    response.setHeader("x-amzn-bedrock-output-token-count", output_tokens);
    return send(response, 200, message);
  }
  response.writeHead(200, { ...id(), "content-type": "application/vnd.amazon.eventstream" });
  for (const event of events(message)) {
    response.write(frame(event));
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  response.end();
}

/** Returns the message of Claude, which repeats the prompt. */
function reply({ messages, max_tokens }, model) {
  const { content } = messages.at(-1);
  const prompt = typeof content === "string" ? content : content.map(({ text = "" }) => text).join("");
  const words = `You said: "${prompt}" (${[...prompt].length} characters). This is the Bedrock stand-in.`.match(/\S+\s*/g);
  const isCut = words.length > max_tokens;
  const text = words.slice(0, max_tokens).join("");
  return {
    id: "msg_stand_in",
    type: "message",
    role: "assistant",
    model,
    content: [{ type: "text", text }],
    stop_reason: isCut ? "max_tokens" : "end_turn",
    stop_sequence: null,
    usage: { input_tokens: prompt.split(/\s+/).length, output_tokens: Math.min(words.length, max_tokens) },
  };
}

function* events({ content: [{ text }], stop_reason, usage, ...message }) {
  const begun = { ...message, content: [], stop_reason: null, usage: { ...usage, output_tokens: 1 } };
  yield { type: "message_start", message: begun };
  yield { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } };
  for (const word of text.match(/\S+\s*/g)) {
    yield { type: "content_block_delta", index: 0, delta: { type: "text_delta", text: word } };
  }
  yield { type: "content_block_stop", index: 0 };
  yield { type: "message_delta", delta: { stop_reason, stop_sequence: null }, usage: { output_tokens: usage.output_tokens } };
  yield { type: "message_stop" };
}

/** Encodes an event of Claude: https://smithy.io/2.0/aws/amazon-eventstream.html. */
function frame(event) {
  const names = { ":event-type": "chunk", ":content-type": "application/json", ":message-type": "event" };
  const headers = Buffer.concat(
    Object.entries(names).map(([name, value]) => {
      const length = Buffer.from([7, value.length >> 8, value.length & 255]);
      return Buffer.concat([Buffer.from([name.length]), Buffer.from(name), length, Buffer.from(value)]);
    }),
  );
  const payload = Buffer.from(JSON.stringify({ bytes: Buffer.from(JSON.stringify(event)).toString("base64") }));
  const prelude = Buffer.concat([uint32(16 + headers.length + payload.length), uint32(headers.length)]);
  const message = Buffer.concat([prelude, uint32(crc32(prelude)), headers, payload]);
  return Buffer.concat([message, uint32(crc32(message))]);
}

function uint32(number) {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(number);
  return bytes;
}

function id() {
  return { "x-amzn-requestid": crypto.randomUUID() };
}

function refuse(response, status, type, message) {
  response.setHeader("x-amzn-errortype", type);
  send(response, status, { message });
}

function send(response, status, body) {
  response.writeHead(status, { ...id(), "content-type": "application/json" });
  response.end(JSON.stringify(body));
}
