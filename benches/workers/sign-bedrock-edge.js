// Signs as often as `?times=` says, the body as long as `?bytes=` says, with bedrock-edge's signing:
// the body is in wasm's memory, as the payload of the Worker is, the signature comes out as a string.
// A long body is hashed by WebCrypto, as in src/worker.rs.
import module from "./signer.wasm";

const { exports } = new WebAssembly.Instance(module);
const ascii = new TextDecoder();
const LONG_TO_HASH = 8 << 10;

export default {
  async fetch(request) {
    const { searchParams } = new URL(request.url);
    const times = Number(searchParams.get("times"));
    const length = Number(searchParams.get("bytes"));
    const body = exports.body(length);
    new Uint8Array(exports.memory.buffer, body, length).fill(97);
    let authorization;
    for (let i = 0; i < times; i++) {
      if (length > LONG_TO_HASH) {
        const hash = await crypto.subtle.digest("SHA-256", new Uint8Array(exports.memory.buffer, body, length));
        new Uint8Array(exports.memory.buffer, exports.hash(), 32).set(new Uint8Array(hash));
      }
      const bytes = exports.signed(Date.now(), length > LONG_TO_HASH);
      authorization = ascii.decode(new Uint8Array(exports.memory.buffer, exports.authorization(), bytes));
    }
    return new Response(authorization);
  },
};
