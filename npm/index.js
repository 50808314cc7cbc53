// The module of the npm package. scripts/build bundles it.
export { default, BedrockEntrypoint, CallerLedger, CallerSessions } from "../src/worker/entry.js";
export { bedrock } from "../src/worker/bedrock.js";
export { BedrockError } from "../src/worker/rpc.js";
