// The floor: what workerd itself takes for a request and a call. It does nothing of the job.
export default {
  fetch(request, env) {
    const operation = request.headers.get("accept") === "text/event-stream" ? "invoke-with-response-stream" : "invoke";
    const url = `${env.AWS_ENDPOINT_URL_BEDROCK_RUNTIME}/model/apac.anthropic.claude-sonnet-4-20250514-v1%3A0/${operation}`;
    return fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body: request.body });
  },
};
