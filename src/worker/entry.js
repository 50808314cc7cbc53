// The Worker's only module. scripts/build bundles it with what wasm-bindgen makes of entry.rs.
import { DurableObject, WorkerEntrypoint } from "cloudflare:workers";
import * as wasm from "bedrock-edge";
import { generated } from "./rpc.js";

// worker-build's own wraps this class, each instance of it and each method in a Proxy: 3 % of a
// short request. Without a class it would be 1 % less, and without methods for service bindings.
export default class extends WorkerEntrypoint {
  fetch(request) {
    return wasm.fetch(request, this.env);
  }

  // A stream is cancelled when its reader leaves. That a caller of a method left, nobody is told.
  generate(fields) {
    const message = new Response(JSON.stringify(fields));
    const caller = String(this.ctx.props?.caller ?? "");
    return generated(wasm.generate(message, caller, this.env, new AbortController()));
  }
}

/** The class of the binding LEDGER. Its name is in wrangler.toml, and an object's for its life. */
export class CallerLedger extends DurableObject {
  fetch(request) {
    return wasm.ledger(this.ctx, request);
  }
}
