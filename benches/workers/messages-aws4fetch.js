// Anthropic's Messages API in JavaScript, signed with aws4fetch: one client, and so one cache of signing keys, per isolate.
import { AwsClient } from "aws4fetch";
import { worker } from "./messages/worker.js";

export default worker(({ region, credentials }) => {
  const client = new AwsClient({ ...credentials, region, service: "bedrock", cache: new Map(), retries: 0 });
  return (url, init) => client.fetch(url, init);
});
