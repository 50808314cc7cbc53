// The results of methods, which the embedding Worker calls, or another one of the account through a service binding.
//
// rpc.rs makes the JSON. Out of scope: authentication. Whoever can call the method may.

import { status } from "bedrock-edge";

/** The error of a call by the embedding Worker. */
export class BedrockError extends Error {
  constructor({ message, ...fields }) {
    super(message);
    this.name = "BedrockError";
    Object.assign(this, fields);
    // An error in the middle of a stream has no response of its own.
    this.status ??= status(this.code);
  }
}

/** Returns what a method returns. Throws what it throws, made by toError. */
export async function returned(response, toError) {
  const result = await response.json();
  if (response.ok) return result;
  throw toError(result);
}

export function toLocalError(fields) {
  return new BedrockError(fields);
}

/** Makes the error for another Worker. To one with a compatibility date before 2026 only name and message arrive. */
export function toRemoteError({ message, ...fields }) {
  return Object.assign(new Error(message), { name: fields.code, ...fields });
}

export function isEventStream(response) {
  return response.headers.get("content-type").startsWith("text/event-stream");
}
