// Sends a signed POST: `signers.mjs aws4fetch|smithy URL ID SECRET BODY`. Prints the body of the
// response, and its status on a separate line.
import { createHash, createHmac } from "node:crypto";
import { SignatureV4 } from "@smithy/signature-v4";
import { AwsClient } from "aws4fetch";

const [signer, url, accessKeyId, secretAccessKey, body] = process.argv.slice(2);
const region = "ap-northeast-1";
const service = "bedrock";
const headers = { "content-type": "application/json" };

/** The hash that the SDK passes to its signer on Node.js. */
class Sha256 {
  constructor(secret) {
    this.hash = secret ? createHmac("sha256", secret) : createHash("sha256");
  }
  update(data) {
    this.hash.update(data);
  }
  async digest() {
    return new Uint8Array(this.hash.digest());
  }
}

async function withSmithy() {
  const { hostname, port, host, pathname, searchParams } = new URL(url);
  const signature = new SignatureV4({ credentials: { accessKeyId, secretAccessKey }, region, service, sha256: Sha256 });
  const signed = await signature.sign({
    method: "POST",
    protocol: "http:",
    hostname,
    port: Number(port),
    path: pathname,
    query: Object.fromEntries(searchParams),
    headers: { ...headers, host },
    body,
  });
  const { host: _, ...sent } = signed.headers;
  return fetch(url, { method: "POST", headers: sent, body });
}

async function withAws4fetch() {
  const client = new AwsClient({ accessKeyId, secretAccessKey, region, service, retries: 0 });
  return client.fetch(url, { method: "POST", headers, body });
}

const response = await (signer === "smithy" ? withSmithy() : withAws4fetch());
console.log(`${await response.text()}\n${response.status}`);
