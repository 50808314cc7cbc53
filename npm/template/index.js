export { default, BedrockEntrypoint, CallerLedger } from "bedrock-edge";
