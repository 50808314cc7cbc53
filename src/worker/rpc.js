// The part of rpc.rs that is JavaScript.

export function message(fields) {
  return new Response(JSON.stringify(fields));
}

export async function result(promise) {
  const response = await promise;
  const { headers, status } = response;
  if (headers.get("content-type").startsWith("text/event-stream")) return response.body;

  const { input_prompt, generated_text } = await response.json();
  const request_id = headers.get("x-request-id");
  if (!response.ok) {
    const code = headers.get("x-error-code");
    const error = new Error(generated_text.replace(/^Error: /, ""));
    // Where the caller's compatibility date is older than 2026, only the name arrives: it is put
    // in front of the message.
    throw Object.assign(error, { name: code, code, status, request_id });
  }
  const count = (name) => {
    const text = headers.get(`x-amzn-bedrock-${name}-token-count`);
    return text === null ? null : Number(text);
  };
  return {
    input_prompt,
    generated_text,
    stop_reason: headers.get("x-stop-reason"),
    usage: { input_tokens: count("input"), output_tokens: count("output") },
    request_id,
  };
}
