// The lower bound: the cost of workerd itself for a request and a subrequest. It only forwards the body.
export default {
  fetch(request, env) {
    const operation = request.headers.get("accept") === "text/event-stream" ? "invoke-with-response-stream" : "invoke";
    const url = `${env.AWS_ENDPOINT_URL_BEDROCK_RUNTIME}/model/apac.anthropic.claude-sonnet-4-20250514-v1%3A0/${operation}`;
    return fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body: request.body });
  },
};
