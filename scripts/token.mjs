// npm run token -- NAME
//
// Makes an API token and prints it. It is not stored: the Worker gets its hash.
import { createHash, randomBytes } from "node:crypto";

const [name = ""] = process.argv.slice(2);
if (!/^[\w.-]{1,64}$/.test(name)) {
  console.error(`bedrock-edge: expected a name of 1 to 64 letters, digits, -, _ and ., got "${name}": npm run token -- NAME`);
  process.exit(1);
}
// 256 random bits. By the prefix, people and secret scanners recognize a leaked token.
const token = `bedge_${randomBytes(32).toString("base64url")}`;
const entry = `${name}:${createHash("sha256").update(token).digest("hex")}`;
console.log(`For ${name}, to send as 'Authorization: Bearer …' or 'x-api-key: …':

  ${token}

For the Worker, a line of the secret API_TOKENS:

  ${entry}`);
