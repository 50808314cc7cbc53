import { Hono } from "hono";
import { bedrock, CallerLedger } from "bedrock-edge";
export { CallerLedger };

const app = new Hono<{ Bindings: Env }>();
app.all("/ai/*", (c) => bedrock({ basePath: "/ai" }).fetch(c.req.raw, c.env, c.executionCtx));

export default app;
