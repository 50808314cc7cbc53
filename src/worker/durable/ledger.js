// The JavaScript side of ledger.rs: messages to ledgers, and the storage of one.

import { env, waitUntil } from "cloudflare:workers";
import { LIMITS_MS, within } from "../glue.js";

/** Sends a message to the ledger of an account. Resolves with the reply. */
export function exchange(account, message) {
  within(LIMITS_MS);
  return send(account, message);
}

async function send(account, message) {
  for (let retries = 1; ; retries -= 1) {
    try {
      // A new stub each time, because one that has failed may be broken.
      const stub = env.LEDGER.get(env.LEDGER.idFromName(account));
      const reply = await stub.fetch("https://ledger/", { headers: { message } });
      if (reply.ok) return await reply.text();
      throw new Error(`the ledger responded with ${reply.status}`);
    } catch (error) {
      // A repeated message has no effect.
      if (retries === 0) throw error;
    }
  }
}

/** Sends a message in the time after the response. */
export function settle(account, message) {
  const failed = ({ message: error }) =>
    console.error(JSON.stringify({ level: "error", outcome: "not_settled", error, message }));
  if (env.LEDGER) waitUntil(send(account, message).catch(failed));
}

/** Returns the message in a request to a ledger. */
export function message(request) {
  return request.headers.get("message") ?? "";
}

export function load(state) {
  return state.storage.kv.get("ledger");
}

export function store(state, ledger) {
  state.storage.kv.put("ledger", ledger);
}
