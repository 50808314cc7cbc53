// The lower bound: the cost of workerd itself for a request and a subrequest. It only forwards the body.
export default {
  fetch(request, env) {
    if (request.url.includes("/v1/messages")) {
      const path = env.BEDROCK_MESSAGES === "native" ? "anthropic/v1/messages" : `model/${env.BEDROCK_MODEL_ID}/invoke-with-response-stream`;
      return post(`${env.AWS_ENDPOINT_URL_BEDROCK_RUNTIME}/${path}`, request.body);
    }
    const operation = request.headers.get("accept") === "text/event-stream" ? "invoke-with-response-stream" : "invoke";
    const url = `${env.AWS_ENDPOINT_URL_BEDROCK_RUNTIME}/model/apac.anthropic.claude-sonnet-4-20250514-v1%3A0/${operation}`;
    return post(url, request.body);
  },
};

const post = (url, body) => fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body });
