// npm run client-key
//
// Makes an access key for a client that signs. Both sides need the secret.
import { randomBytes } from "node:crypto";

// As IAM's ids: 20 letters and digits, of which 80 bits are random.
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const id = `EDGE${[...randomBytes(16)].map((byte) => ALPHABET[byte % 32]).join("")}`;
const secret = randomBytes(32).toString("base64url"); // 256 bits
console.log(`For the client, as environment variables of an AWS SDK:

  AWS_ACCESS_KEY_ID=${id}
  AWS_SECRET_ACCESS_KEY=${secret}

For the Worker, one more line of CLIENT_KEYS, which is a secret:

  ${id}:${secret}`);
