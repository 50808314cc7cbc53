// The JavaScript side of sessions.rs: messages to the objects that keep sessions.

import { waitUntil } from "cloudflare:workers";
import { LIMITS_MS, within } from "../glue.js";

/** Sends a message to the object of an owner. Resolves with the bytes of the reply. */
export function exchange(platform, owner, message) {
  within(LIMITS_MS);
  // A copy, because wasm's memory moves when it grows.
  return send(platform.binding("SESSIONS"), owner, message.slice());
}

async function send(sessions, owner, body) {
  for (let retries = 1; ; retries -= 1) {
    try {
      // A new stub each time, because one that has failed may be broken.
      const stub = sessions.get(sessions.idFromName(owner));
      const reply = await stub.fetch("https://sessions/", { method: "POST", body });
      if (reply.ok) return await reply.arrayBuffer();
      throw new Error(`the object responded with ${reply.status}`);
    } catch (error) {
      // A repeated message has no effect.
      if (retries === 0) throw error;
    }
  }
}

/** Sends a message in the time after the response. */
export function sendLater(platform, owner, message) {
  const failed = ({ message: error }) =>
    console.error(JSON.stringify({ level: "error", outcome: "session_not_freed", error }));
  const sessions = platform.binding("SESSIONS");
  if (sessions) waitUntil(send(sessions, owner, message.slice()).catch(failed));
}
