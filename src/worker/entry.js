// The Worker's module. scripts/build bundles it with what wasm-bindgen makes of entry.rs.
import { DurableObject, WorkerEntrypoint } from "cloudflare:workers";
import * as wasm from "bedrock-edge";
import { expire, respond } from "./durable/session_storage.js";
import { platformFor } from "./platform.js";
import { isEventStream, returned, toRemoteError } from "./rpc.js";

const options = { key: "" };

/** Responds to a request with the isolate that has no options. */
function fetch(request, env) {
  wasm.instantiate();
  const platform = platformFor(options, env);
  return wasm.fetch(request, undefined, platform, platform.id);
}

// A plain object: a class that extends WorkerEntrypoint takes 1.6 % more instructions for a short request (2026-11).
export default { fetch };

/** The methods for the account's other Workers, which name this class in their service bindings. */
export class BedrockEntrypoint extends WorkerEntrypoint {
  fetch(request) {
    return fetch(request, this.env);
  }

  // A stream is cancelled when its reader disconnects. A method is not told when its caller does.
  async generate(fields) {
    const message = new Response(JSON.stringify(fields));
    const caller = String(this.ctx.props?.caller ?? "");
    wasm.instantiate();
    const platform = platformFor(options, this.env);
    const client = new AbortController();
    const response = await wasm.generate(message, "binding", caller, client, platform, platform.id);
    return isEventStream(response) ? response.body : returned(response, toRemoteError);
  }
}

/** The class behind the binding LEDGER. Stored objects belong to its name, which is in wrangler.toml. */
export class CallerLedger extends DurableObject {
  fetch(request) {
    wasm.instantiate();
    return wasm.ledger(this.ctx, request);
  }
}

/** The class behind the binding SESSIONS, whose objects keep the conversations of a caller. */
export class CallerSessions extends DurableObject {
  fetch(request) {
    return respond(this.ctx, request);
  }

  alarm() {
    return expire(this.ctx);
  }
}
