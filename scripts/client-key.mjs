// npm run client-key
//
// Makes an access key for a client that signs its requests. The client and the Worker need the secret.
import { randomBytes } from "node:crypto";

// Like an IAM access key id, 20 letters and digits. 80 bits of it are random.
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const id = `EDGE${[...randomBytes(16)].map((byte) => ALPHABET[byte % 32]).join("")}`;
const secret = randomBytes(32).toString("base64url"); // 256 bits
console.log(`For the client, as environment variables of an AWS SDK:

  AWS_ACCESS_KEY_ID=${id}
  AWS_SECRET_ACCESS_KEY=${secret}

For the Worker, a line of the secret CLIENT_KEYS:

  ${id}:${secret}`);
