// Who calls: an API token, of which the configuration has the hash.
import { Failure } from "./failure.js";

const utf8 = new TextEncoder();

/** Names and hashes, or undefined if nobody is asked. Throws if it is neither. */
export function parseTokens(auth, tokens) {
  if (auth === "open" && tokens === "") return undefined;
  const entries = tokens.split(/[\s,]+/).filter(Boolean).map((entry) => entry.split(":"));
  const isRight = ([name, hash]) => /^[\w.-]{1,64}$/.test(name) && /^[0-9a-f]{64}$/i.test(hash ?? "");
  return entries.length > 0 && entries.every(isRight)
    ? entries.map(([name, hash]) => ({ caller: `token:${name}`, hash: Uint8Array.fromHex(hash) }))
    : null;
}

/** The caller's name. It says nothing of a stranger but that they are one. */
export async function authenticate(headers, tokens) {
  const authorization = headers.get("authorization");
  if (authorization === null) throw stranger("there is no credential");
  const [, presented] = /^Bearer +(\S+)$/i.exec(authorization) ?? [];
  if (presented === undefined) throw stranger("the authorization is no Bearer token");
  const hash = await crypto.subtle.digest("SHA-256", utf8.encode(presented));
  let known;
  // Every one is compared, so that the time does not tell which it was.
  for (const token of tokens) if (crypto.subtle.timingSafeEqual(hash, token.hash)) known = token;
  if (known === undefined) throw stranger("the API token is not known");
  return known.caller;
}

const stranger = (cause) => new Failure("unauthorized", "Unauthorized", { cause, challenge: 'Bearer realm="bedrock-edge"' });
