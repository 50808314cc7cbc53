// The lower bound for Bedrock's own API: it forwards the request without a signature.
export default {
  fetch(request, env) {
    const { pathname } = new URL(request.url);
    return fetch(env.AWS_ENDPOINT_URL_BEDROCK_RUNTIME + pathname, { method: "POST", headers: { "content-type": "application/json" }, body: request.body });
  },
};
