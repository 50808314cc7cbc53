// A Worker that uses everything of the npm package: a route for each test in tests/examples/npm/api.rs.
import { env } from "cloudflare:workers";
import { BedrockError, bedrock, CallerLedger, type Fields, type LogRecord, type Options } from "bedrock-edge";

export { CallerLedger };
export class OtherLedger extends CallerLedger {}

const records: LogRecord[] = [];
const log = (record: LogRecord) => void records.push(record);

// Bedrock refuses the default temperature of this model, which an instance learns with its first call.
const model = "arn:aws:bedrock:ap-northeast-1:123456789012:application-inference-profile/refuses-temperature";

/** The instances that serve the routes below a path of their own. */
const served: Record<string, () => Options> = {
  closed: () => ({}),
  open: () => ({ auth: "open" }),
  first: () => ({ auth: "open", model }),
  second: () => ({ auth: "open", model, log }),
  third: () => ({ auth: "open", model, region: "ap-northeast-1" }),
  elsewhere: () => ({ auth: "open", region: "us-east-1", model: "us.anthropic.claude-sonnet-4-20250514-v1:0" }),
  prefixed: () => ({ envPrefix: "AI_", log }),
  misconfigured: () => ({ envPrefix: "BAD_", log }),
  login: () => ({ auth: login, log }),
  "failing-log": () => ({
    auth: "open",
    log: () => {
      throw new Error("the log is full");
    },
  }),
};

/** The login of this Worker. */
async function login(request: Request) {
  await Promise.resolve();
  const user = request.headers.get("x-user");
  if (user === null) return new Response("who are you?", { status: 418 });
  return { caller: user };
}

// An instance for calls, which lives as long as the isolate.
const ai = bedrock({ log });

async function called(call: () => Promise<unknown>): Promise<Response> {
  try {
    return Response.json({ result: await call() });
  } catch (error) {
    if (error instanceof BedrockError) {
      const { name, code, status, retryable, message, request_id } = error;
      return Response.json({ thrown: { name, code, status, retryable, message }, request_id });
    }
    const { name, message } = error as Error;
    return Response.json({ thrown: { name, message } });
  }
}

async function allEvents(fields: string | Fields, options?: { signal?: AbortSignal; until?: string }) {
  const events = [];
  for await (const event of ai.stream(fields, options)) {
    events.push(event);
    if (event.type === options?.until) break;
  }
  return events;
}

interface Secrets {
  AWS_ENDPOINT_URL_BEDROCK_RUNTIME: string;
}

export default {
  async fetch(request: Request, own: Env & Secrets, context: ExecutionContext): Promise<Response> {
    const url = new URL(request.url);
    const [, name = ""] = url.pathname.split("/");
    const options = served[name];
    if (options) return bedrock({ basePath: `/${name}`, ...options() }).fetch(request, own, context);
    // What a Worker does that makes an `env` for each request, as development servers do.
    if (name === "copied") {
      return bedrock({ basePath: "/copied", auth: "open", model }).fetch(request, { ...own }, context);
    }

    // A Worker that changes a body leaves the client's Content-Length.
    if (name === "rewritten") {
      const body = (await request.text()).replace("short", "long ".repeat(Number(request.headers.get("x-repeat"))));
      const rewritten = new Request(request.url, { method: "POST", headers: request.headers, body });
      return bedrock({ basePath: "/rewritten", auth: "open" }).fetch(rewritten, own, context);
    }

    const signal = AbortSignal.timeout(300);
    const prompt = url.searchParams.get("prompt") ?? "hi";
    switch (name) {
      case "generate":
        return called(async () => ai.generate(await request.json<Fields>(), { caller: "shop" }));
      case "generate-prompt":
        return called(() => ai.generate(prompt));
      case "generate-with":
        return called(() => bedrock({ log, envPrefix: "AI_" }).generate(prompt, { env: { ...env, AI_MAX_TOKENS: "9" } }));
      case "generate-aborted":
        return called(() => ai.generate("fault:slow:30000", { signal }));
      case "generate-aborted-before":
        return called(() => ai.generate("never sent", { signal: AbortSignal.abort(new Error("no")) }));
      case "events":
        return called(async () => allEvents(await request.json<Fields>()));
      case "events-left":
        return called(() => allEvents("fault:stream_long:100000:5", { until: "delta" }));
      case "events-aborted":
        return called(() => allEvents("fault:stream_long:100000:5", { signal }));
      case "events-aborted-in-silence":
        return called(() => allEvents("fault:stream_stall:3", { signal }));
      case "events-aborted-before-the-first":
        return called(() => allEvents("fault:stream_stall:0", { signal }));
      case "response":
        return ai.stream(prompt).toResponse();
      case "response-aborted": {
        const response = await ai.stream("fault:stream_long:100000:5", { signal }).toResponse();
        return called(() => response.text());
      }
      case "read-twice":
        return called(async () => {
          const stream = ai.stream("hi");
          await (await stream.toResponse()).text();
          return stream.toResponse();
        });
      case "bad-option":
        // @ts-expect-error: there is no such option
        return called(async () => bedrock({ regoin: "us-east-1" }));
      case "bad-auth":
        // @ts-expect-error: it is "open" or a function
        return called(async () => bedrock({ auth: "opne" }));
      case "bad-caller":
        return called(() => ai.generate("hi", { caller: "" }));
      case "sign":
        return called(async () => {
          const endpoint = own.AWS_ENDPOINT_URL_BEDROCK_RUNTIME;
          const target = `${endpoint}/model/anthropic.claude-sonnet-4-20250514-v1%3A0/converse`;
          const body = JSON.stringify({ messages: [{ role: "user", content: [{ text: prompt }] }] });
          const headers = { "content-type": "application/json", "x-amz-meta-a": " a  b" };
          const unsigned = new Request(target, { method: "POST", headers, body });
          const signed = await ai.sign(unsigned, { service: "bedrock", region: url.searchParams.get("region") ?? undefined });
          const response = await fetch(signed);
          return { status: response.status, reply: await response.json() };
        });
      case "sign-for": {
        const target = url.searchParams.get("url") ?? "";
        return called(async () => [...(await ai.sign(new Request(target))).headers]);
      }
      case "records":
        return Response.json(records.splice(0));
      default:
        return new Response("not found", { status: 404 });
    }
  },
};
