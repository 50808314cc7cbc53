// Signs a body of `?bytes=` bytes `?times=` times with bedrock-edge's signer. The body is in the memory of
// the wasm, as the payload of the Worker is, and the signature is converted to a string. As in
// src/worker.rs, WebCrypto hashes a long body.
import module from "./signer.wasm";

const { exports } = new WebAssembly.Instance(module);
const decoder = new TextDecoder();
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
      const bytes = exports.sign(Date.now(), length > LONG_TO_HASH);
      authorization = decoder.decode(new Uint8Array(exports.memory.buffer, exports.authorization(), bytes));
    }
    return new Response(authorization);
  },
};
