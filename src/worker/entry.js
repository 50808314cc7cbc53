// The Worker's module. scripts/build bundles it with what wasm-bindgen makes of entry.rs.
import { DurableObject, WorkerEntrypoint } from "cloudflare:workers";
import * as wasm from "bedrock-edge";
import { generated } from "./rpc.js";

// worker-build wraps this class, its instances and its methods in Proxies, which takes 3 % of the instructions of a
// short request (2026-11). A plain object would take 1 % less and could have no methods for service bindings.
export default class extends WorkerEntrypoint {
  fetch(request) {
    return wasm.fetch(request, this.env);
  }

  // A stream is cancelled when its reader disconnects. A method is not told when its caller does.
  generate(fields) {
    const message = new Response(JSON.stringify(fields));
    const caller = String(this.ctx.props?.caller ?? "");
    return generated(wasm.generate(message, caller, this.env, new AbortController()));
  }
}

/** The class behind the binding LEDGER. Stored objects belong to its name, which is in wrangler.toml. */
export class CallerLedger extends DurableObject {
  fetch(request) {
    return wasm.ledger(this.ctx, request);
  }
}
