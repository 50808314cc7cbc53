// The storage of sessions: a Durable Object with SQLite for each caller. sessions/wire.rs has its messages.
//
// An operation is made without awaiting anything, so one is complete before the next begins, and the runtime holds the reply
// back until its changes are on disk.

const LINE_FEED = 10;

/** The longest value that is stored as one. SQLite of a Durable Object takes 2 MB. */
const PART_BYTES = 1 << 20;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS sessions (
    id TEXT PRIMARY KEY,
    token TEXT,
    lease INTEGER NOT NULL,
    committed TEXT,
    updated INTEGER NOT NULL,
    expires INTEGER NOT NULL
  );
  CREATE TABLE IF NOT EXISTS turns (
    session TEXT NOT NULL,
    position INTEGER NOT NULL,
    part INTEGER NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (session, position, part)
  );
`;

/** The sessions in the storage of one object. An operation returns the words of its reply, bytes, and when the session ends. */
class Sessions {
  constructor(storage) {
    this.sql = storage.sql;
    this.exist = this.rows("SELECT 1 FROM sqlite_master WHERE name = 'sessions'").length > 0;
  }

  rows(query, ...values) {
    return this.sql.exec(query, ...values).toArray();
  }

  /** Returns a session that is not gone. */
  find(id, now) {
    if (!this.exist) return undefined;
    const [session] = this.rows("SELECT * FROM sessions WHERE id = ?", id);
    return session && (session.expires > now || session.lease > now) ? session : undefined;
  }

  remove(id) {
    this.sql.exec("DELETE FROM sessions WHERE id = ?", id);
    this.sql.exec("DELETE FROM turns WHERE session = ?", id);
  }

  /** Returns the positions of the first and the last turn, or nulls. */
  ends(id) {
    return this.rows("SELECT MIN(position) AS first, MAX(position) AS last FROM turns WHERE session = ?", id)[0];
  }

  /** Reads turns from a position on: their positions and lengths by turns, and their parts. */
  turns(id, from, limit) {
    const places = [];
    const parts = [];
    const query = "SELECT position, content FROM turns WHERE session = ? AND position >= ? ORDER BY position, part";
    for (const { position, content } of this.sql.exec(query, id, from)) {
      if (places.at(-2) !== position) {
        if (places.length === 2 * limit) break;
        places.push(position, 0);
      }
      places[places.length - 1] += content.byteLength;
      parts.push(new Uint8Array(content));
    }
    return [places, parts];
  }

  begin([id, token, lease, create, now]) {
    const session = this.find(id, now);
    // A repeated message has the same result.
    if (session && session.lease > now && session.token !== token) return [["busy"]];
    if (create === "0" && (!session || this.ends(id).last === null)) return [["unknown"]];
    if (session) {
      this.sql.exec("UPDATE sessions SET token = ?, lease = ? WHERE id = ?", token, lease, id);
    } else {
      this.sql.exec(SCHEMA);
      this.exist = true;
      this.remove(id);
      const query = "INSERT INTO sessions (id, token, lease, updated, expires) VALUES (?, ?, ?, ?, ?)";
      this.sql.exec(query, id, token, lease, now, now);
    }
    const [turns, parts] = this.turns(id, 0, Infinity);
    return [["turns", ...turns], parts, Math.max(lease, session?.expires ?? 0)];
  }

  commit([id, token, position, keepFrom, expires, now], content) {
    // Also one that is gone, as long as it is there.
    const [session] = this.exist ? this.rows("SELECT * FROM sessions WHERE id = ?", id) : [];
    if (session?.committed === token) return [["true"]];
    if (session?.token !== token) return [["false"]];
    this.sql.exec("DELETE FROM turns WHERE session = ? AND position < ?", id, keepFrom);
    for (let part = 0; part === 0 || part * PART_BYTES < content.length; part += 1) {
      const bytes = content.slice(part * PART_BYTES, (part + 1) * PART_BYTES);
      this.sql.exec("INSERT INTO turns VALUES (?, ?, ?, ?)", id, position, part, bytes);
    }
    const query = "UPDATE sessions SET token = NULL, lease = 0, committed = ?, updated = ?, expires = ? WHERE id = ?";
    this.sql.exec(query, token, now, expires, id);
    return [["true"], [], Number(expires)];
  }

  abort([id, token]) {
    const [session] = this.exist ? this.rows("SELECT token FROM sessions WHERE id = ?", id) : [];
    if (session?.token === token) {
      if (this.ends(id).last === null) this.remove(id);
      else this.sql.exec("UPDATE sessions SET token = NULL, lease = 0 WHERE id = ?", id);
    }
    return [["true"]];
  }

  read([id, from, limit, now]) {
    const session = this.find(id, now);
    const { first, last } = session ? this.ends(id) : { last: null };
    if (last === null) return [["unknown"]];
    const { updated, expires } = session;
    const [place, lastParts] = this.turns(id, last, 1);
    const [turns, parts] = this.turns(id, from, limit);
    return [["page", id, first, last + 1, updated, expires, ...place, ...turns], [...lastParts, ...parts]];
  }

  delete([id, now]) {
    const done = this.find(id, now) !== undefined && this.ends(id).last !== null;
    if (done) this.remove(id);
    return [[done]];
  }

  list([updated, behind, limit, now]) {
    if (!this.exist) return [["list"]];
    const query = `
      SELECT id, MIN(position) AS first, MAX(position) + 1 AS next, updated, expires
      FROM sessions JOIN turns ON session = id
      WHERE (expires > ?1 OR lease > ?1) AND (?2 IS NULL OR (updated, id) < (?2, ?3))
      GROUP BY id ORDER BY updated DESC, id DESC LIMIT ?4`;
    const rows = this.rows(query, Number(now), updated === "-" ? null : Number(updated), behind, Number(limit));
    return [["list", ...rows.flatMap(({ id, first, next, updated, expires }) => [id, first, next, updated, expires])]];
  }

  /** Deletes what is gone. Returns when the next session will be, or null if none is left. */
  expire(now) {
    if (!this.exist) return null;
    for (const { id } of this.rows("SELECT id FROM sessions WHERE expires <= ?1 AND lease <= ?1", now)) this.remove(id);
    return this.rows("SELECT MIN(MAX(expires, lease)) AS due FROM sessions")[0].due;
  }

  /** Reports whether nothing is left. */
  areEmpty() {
    return this.exist && this.rows("SELECT 1 FROM sessions LIMIT 1").length === 0;
  }
}

const OPERATIONS = new Set(["begin", "commit", "abort", "read", "delete", "list"]);

/** Replies to a message to the object with this DurableObjectState. */
export async function respond({ storage }, request) {
  const bytes = new Uint8Array(await request.arrayBuffer());
  const end = bytes.indexOf(LINE_FEED);
  const [operation, ...words] = new TextDecoder().decode(bytes.subarray(0, end)).split(" ");
  if (!OPERATIONS.has(operation)) throw new Error("the message is not one to sessions");
  const alarm = await storage.getAlarm();
  let areEmpty = false;
  const [line, parts = [], ends] = storage.transactionSync(() => {
    const sessions = new Sessions(storage);
    const reply = sessions[operation](words, bytes.subarray(end + 1));
    areEmpty = sessions.areEmpty();
    return reply;
  });
  if (areEmpty) await clear(storage);
  // An alarm that comes too early sets itself again, so that not every turn writes one.
  if (ends !== undefined && (alarm === null || ends < alarm)) await storage.setAlarm(ends);
  return new Response(new Blob([`${line.join(" ")}\n`, ...parts]));
}

/** Deletes the sessions that are gone: all of the object if none is left. */
export async function expire({ storage }) {
  const due = storage.transactionSync(() => new Sessions(storage).expire(Date.now()));
  if (due === null) await clear(storage);
  else await storage.setAlarm(due);
}

async function clear(storage) {
  await storage.deleteAlarm();
  await storage.deleteAll();
}
