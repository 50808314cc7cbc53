// Authenticates the caller by an API token, whose hash is in the configuration.
import { Failure } from "./failure.js";

const utf8 = new TextEncoder();

/** The names and hashes of the tokens, undefined for AUTH=open, or null if the variables are invalid. */
export function parseTokens(auth, tokens) {
  if (auth === "open" && tokens === "") return undefined;
  const entries = tokens.split(/[\s,]+/).filter(Boolean).map((entry) => entry.split(":"));
  const isValid = ([name, hash]) => /^[\w.-]{1,64}$/.test(name) && /^[0-9a-f]{64}$/i.test(hash ?? "");
  return entries.length > 0 && entries.every(isValid)
    ? entries.map(([name, hash]) => ({ caller: `token:${name}`, hash: Uint8Array.fromHex(hash) }))
    : null;
}

/** Returns the name of the caller. An unauthenticated caller is not told the cause. */
export async function authenticate(headers, tokens) {
  const authorization = headers.get("authorization");
  if (authorization === null) throw unauthorized("there is no credential");
  const [, presented] = /^Bearer +(\S+)$/i.exec(authorization) ?? [];
  if (presented === undefined) throw unauthorized("the authorization is no Bearer token");
  const hash = await crypto.subtle.digest("SHA-256", utf8.encode(presented));
  let known;
  // All tokens are compared, so that the time does not depend on which one matches.
  for (const token of tokens) if (crypto.subtle.timingSafeEqual(hash, token.hash)) known = token;
  if (known === undefined) throw unauthorized("the API token is not known");
  return known.caller;
}

const unauthorized = (cause) => new Failure("unauthorized", "Unauthorized", { cause, challenge: 'Bearer realm="bedrock-edge"' });
