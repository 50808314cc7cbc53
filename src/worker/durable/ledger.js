// The JavaScript side of ledger.rs: messages to ledgers, and the storage of one.

import { waitUntil } from "cloudflare:workers";
import { LIMITS_MS, within } from "../glue.js";

/** Sends a message to the ledger of an account. Resolves with the reply. */
export function exchange(platform, account, message) {
  within(LIMITS_MS);
  return send(platform.binding("LEDGER"), account, message);
}

async function send(ledgers, account, message) {
  for (let retries = 1; ; retries -= 1) {
    try {
      // A new stub each time, because one that has failed may be broken.
      const stub = ledgers.get(ledgers.idFromName(account));
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
export function settle(platform, account, message) {
  const failed = ({ message: error }) =>
    console.error(JSON.stringify({ level: "error", outcome: "not_settled", error, message }));
  const ledgers = platform.binding("LEDGER");
  if (ledgers) waitUntil(send(ledgers, account, message).catch(failed));
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
