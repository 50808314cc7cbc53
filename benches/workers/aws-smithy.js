// Bedrock's own API in JavaScript: the body passes as it came, signed with aws4fetch, and so does the response. The frames of
// a stream are decoded with @smithy/eventstream-codec, to count its tokens.
//
// It lacks what the benchmark does not use: authentication, the list of models, limits, retries, deadlines, and the errors of
// AWS.
import { EventStreamCodec } from "@smithy/eventstream-codec";
import { AwsClient } from "aws4fetch";

const utf8 = new TextDecoder();
const codec = new EventStreamCodec((bytes) => utf8.decode(bytes), (text) => new TextEncoder().encode(text));

let client;

export default {
  async fetch(request, env, context) {
    client ??= new AwsClient({ accessKeyId: env.AWS_ACCESS_KEY_ID, secretAccessKey: env.AWS_SECRET_ACCESS_KEY, region: "ap-northeast-1", service: "bedrock", cache: new Map(), retries: 0 });
    const record = { request_id: crypto.randomUUID() };
    const body = await request.arrayBuffer();
    const { pathname } = new URL(request.url);
    const headers = { "content-type": request.headers.get("content-type") ?? "application/json", accept: request.headers.get("accept") ?? "application/json" };
    const response = await client.fetch(env.AWS_ENDPOINT_URL_BEDROCK_RUNTIME + pathname, { method: "POST", headers, body });
    const passed = new Headers({ "content-type": response.headers.get("content-type"), "x-request-id": record.request_id });
    for (const [name, value] of response.headers) if (name.startsWith("x-amzn-")) passed.set(name, value);
    if (!response.headers.get("content-type").startsWith("application/vnd.amazon.eventstream")) {
      record.input_tokens = Number(response.headers.get("x-amzn-bedrock-input-token-count"));
      record.output_tokens = Number(response.headers.get("x-amzn-bedrock-output-token-count"));
      console.log(JSON.stringify(record));
      return new Response(response.body, { status: response.status, headers: passed });
    }
    const { readable, writable } = new TransformStream();
    context.waitUntil(meter(response.body, writable, record));
    return new Response(readable, { status: response.status, headers: passed });
  },
};

/** Passes a stream on, and logs its tokens. */
async function meter(body, writable, record) {
  const writer = writable.getWriter();
  let rest = new Uint8Array();
  for await (const chunk of body) {
    let bytes = chunk;
    if (rest.length > 0) {
      bytes = new Uint8Array(rest.length + chunk.length);
      bytes.set(rest);
      bytes.set(chunk, rest.length);
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let offset = 0;
    while (bytes.length - offset >= 4) {
      const length = view.getUint32(offset);
      if (bytes.length - offset < length) break;
      const { headers, body: payload } = codec.decode(bytes.subarray(offset, offset + length));
      offset += length;
      if (headers[":event-type"]?.value !== "metadata") continue;
      const { usage } = JSON.parse(utf8.decode(payload));
      record.input_tokens = usage.inputTokens;
      record.output_tokens = usage.outputTokens;
    }
    rest = bytes.subarray(offset);
    await writer.write(chunk);
  }
  await writer.close();
  console.log(JSON.stringify(record));
}
