import { bedrock, CallerLedger } from "bedrock-edge";
export { CallerLedger };

const gateway = bedrock({ basePath: "/ai" });

export default {
  async fetch(request, env, context) {
    const { pathname } = new URL(request.url);
    if (pathname === "/ai" || pathname.startsWith("/ai/")) return gateway.fetch(request, env, context);
    if (pathname === "/haiku") {
      // A reply that begins at once, and ends with its client.
      const { signal } = request;
      return gateway.stream("Write a haiku about rain.", { signal }).toResponse();
    }
    return new Response("not found", { status: 404 });
  },
} satisfies ExportedHandler<Env>;
