// The result of `generate`, which the account's other Workers call through a service binding:
//
//   const { generated_text } = await env.BEDROCK.generate({ prompt });
//
// rpc.rs makes the JSON. Out of scope: authentication. Whoever has the binding may call.

/** Returns what the method returns, or throws what it throws. */
export async function generated(promise) {
  const response = await promise;
  if (response.headers.get("content-type").startsWith("text/event-stream")) return response.body;

  const result = await response.json();
  if (response.ok) return result;
  const { code, message, ...rest } = result;
  // To a caller with a compatibility date before 2026 only the name arrives, in front of the message.
  throw Object.assign(new Error(message), { name: code, code, ...rest });
}
