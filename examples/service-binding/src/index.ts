// A TypeScript Worker that calls bedrock-edge through a service binding.
import type { Bedrock, BedrockError } from "../bedrock-edge";

interface Env {
  BEDROCK: Bedrock;
  /** An API token of bedrock-edge, for `fetch`. It is a secret. */
  BEDROCK_TOKEN: string;
}

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const prompt = await request.text();
    switch (new URL(request.url).pathname) {
      // An HTTP request, with the credential that any client needs. The host in the URL is ignored.
      case "/fetch":
        return env.BEDROCK.fetch("https://bedrock-edge/", {
          method: "POST",
          headers: {
            "content-type": "application/json",
            authorization: `Bearer ${env.BEDROCK_TOKEN}`,
          },
          body: JSON.stringify({ prompt }),
        });

      // A method call, which needs neither a credential nor parsing.
      case "/call":
        try {
          const { generated_text, usage } = await env.BEDROCK.generate({ prompt, max_tokens: 50 });
          return Response.json({ text: generated_text, tokens: usage.output_tokens });
        } catch (error) {
          const { code, message } = error as BedrockError;
          return Response.json({ code, message }, { status: code === "throttled" ? 503 : 502 });
        }

      // A streamed reply, whose events are forwarded as they arrive.
      case "/stream":
        return new Response(await env.BEDROCK.generate({ prompt, stream: true }), {
          headers: { "content-type": "text/event-stream; charset=utf-8" },
        });

      default:
        return new Response("not found", { status: 404 });
    }
  },
};
