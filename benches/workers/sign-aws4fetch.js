// Signs a body of `?bytes=` bytes `?times=` times with aws4fetch's signer, with its cache of signing keys.
import { AwsV4Signer } from "aws4fetch";

const URL_SIGNED = "https://bedrock-runtime.ap-northeast-1.amazonaws.com/model/apac.anthropic.claude-sonnet-4-20250514-v1%3A0/invoke";
const cache = new Map();

export default {
  async fetch(request) {
    const { searchParams } = new URL(request.url);
    const times = Number(searchParams.get("times"));
    const body = "a".repeat(Number(searchParams.get("bytes")));
    let authorization;
    for (let i = 0; i < times; i++) {
      const signer = new AwsV4Signer({
        method: "POST",
        url: URL_SIGNED,
        headers: { "content-type": "application/json", accept: "application/json" },
        body,
        accessKeyId: "AKIAIOSFODNN7EXAMPLE",
        secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        region: "ap-northeast-1",
        service: "bedrock",
        cache,
      });
      authorization = (await signer.sign()).headers.get("authorization");
    }
    return new Response(authorization);
  },
};
