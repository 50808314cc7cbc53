// npm run token -- NAME
//
// Makes an API token. It is printed once, and stored nowhere: the Worker knows its hash.
import { createHash, randomBytes } from "node:crypto";

const [name = ""] = process.argv.slice(2);
if (!/^[\w.-]{1,64}$/.test(name)) {
  console.error("npm run token -- NAME, a name of up to 64 letters, digits, -, _ and .");
  process.exit(1);
}
// 256 bits. The prefix is for people, and for tools that look for secrets in the wrong places.
const token = `bedge_${randomBytes(32).toString("base64url")}`;
const entry = `${name}:${createHash("sha256").update(token).digest("hex")}`;
console.log(`For ${name}, who sends it as 'Authorization: Bearer …' or 'x-api-key: …':

  ${token}

For the Worker, one more line of API_TOKENS:

  ${entry}`);
