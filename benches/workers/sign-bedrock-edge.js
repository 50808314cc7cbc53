// Signs as often as `?times=` says, the body as long as `?bytes=` says, with bedrock-edge's signing:
// the body is in wasm's memory, as the payload of the Worker is, the signature comes out as a string.
import module from "./signer.wasm";

const { exports } = new WebAssembly.Instance(module);
const ascii = new TextDecoder();

export default {
  fetch(request) {
    const { searchParams } = new URL(request.url);
    const times = Number(searchParams.get("times"));
    const length = Number(searchParams.get("bytes"));
    const body = exports.body(length);
    new Uint8Array(exports.memory.buffer, body, length).fill(97);
    let authorization;
    for (let i = 0; i < times; i++) {
      const bytes = exports.signed(Date.now());
      authorization = ascii.decode(new Uint8Array(exports.memory.buffer, exports.authorization(), bytes));
    }
    return new Response(authorization);
  },
};
