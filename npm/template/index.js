export { default, BedrockEntrypoint, CallerLedger, CallerSessions } from "bedrock-edge";
