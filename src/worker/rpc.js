// The answer of `generate`, which the account's other Workers call through a service binding:
//
//   const { generated_text } = await env.BEDROCK.generate({ prompt });
//
// Out of scope: authentication. Who has the binding may call.

/** What the method returns or throws, of what HTTP would have answered. */
export async function generated(promise) {
  const response = await promise;
  const { headers, status } = response;
  if (headers.get("content-type").startsWith("text/event-stream")) return response.body;

  const { input_prompt, generated_text } = await response.json();
  const request_id = headers.get("x-request-id");
  if (!response.ok) {
    const code = headers.get("x-error-code");
    const error = new Error(generated_text.replace(/^Error: /, ""));
    // To a caller with a compatibility date before 2026 only the name arrives, in front of the
    // message.
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
