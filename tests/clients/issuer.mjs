// Issues valid and invalid JWTs with jose: `issuer.mjs ISSUER`. Prints the key sets, and the tokens
// by name, as JSON.
import { createHmac } from "node:crypto";
import { CompactSign, SignJWT, UnsecuredJWT, exportJWK, exportSPKI, generateKeyPair } from "jose";

const [issuer] = process.argv.slice(2);
const now = Math.floor(Date.now() / 1000);

const pair = async (alg, kid, rest = {}) => {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true, ...rest.generate });
  const jwk = { ...(await exportJWK(publicKey)), kid, ...rest.jwk };
  return { alg, kid, privateKey, publicKey, jwk };
};
const rsa = await pair("RS256", "rsa", { jwk: { alg: "RS256", use: "sig" } });
const ec = await pair("ES256", "ec", { jwk: { alg: "ES256", use: "sig" } });
const unknownKey = await pair("RS256", "rsa");
const next = await pair("RS256", "next");
const encryption = await pair("RS256", "encryption", { jwk: { use: "enc" } });
const p384 = await pair("ES384", "p384");
const pss = await pair("PS256", "pss", { jwk: { alg: "PS256" } });
const sha512 = await pair("RS512", "sha512", { jwk: { alg: "RS512" } });

const claims = { iss: issuer, aud: "bedrock-edge", sub: "alice", iat: now, nbf: now, exp: now + 600 };
const cognito = { iss: issuer, client_id: "bedrock-edge", token_use: "access", sub: "alice", iat: now, exp: now + 600 };

/** Changes claims. Null removes one. */
const but = (changes, base = claims) =>
  Object.fromEntries(Object.entries({ ...base, ...changes }).filter(([, value]) => value !== null));
const sign = (payload, key = rsa, header = {}) =>
  new SignJWT(payload).setProtectedHeader({ alg: key.alg, kid: key.kid, ...header }).sign(key.privateKey);

const encode = (value) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");
/** Signs with HS256. jose refuses to use a public key as the secret. */
const hmac = (secret, header = {}) => {
  const message = `${encode({ alg: "HS256", kid: "rsa", ...header })}.${encode(claims)}`;
  return `${message}.${createHmac("sha256", secret).update(message).digest("base64url")}`;
};
const raw = (payload) =>
  new CompactSign(Buffer.from(payload)).setProtectedHeader({ alg: "RS256", kid: "rsa" }).sign(rsa.privateKey);

const good = await sign(claims);
const [header, payload, signature] = good.split(".");
const spki = await exportSPKI(rsa.publicKey);

const tokens = {
  good,
  "ES256": await sign(claims, ec),
  "an array of audiences": await sign(but({ aud: ["another", "bedrock-edge"] })),
  "a second audience": await sign(but({ aud: "second" })),
  "no kid": await sign(claims, rsa, { kid: undefined }),
  "no nbf or iat": await sign(but({ nbf: null, iat: null })),
  "a fraction of a second": await sign(but({ exp: now + 600.5, iat: now - 0.5 })),
  "expired within the leeway": await sign(but({ exp: now - 30 })),
  "valid within the leeway": await sign(but({ nbf: now + 30, iat: now + 30 })),
  "Cognito's access token": await sign(cognito),
  "Cognito's id token": await sign(but({ token_use: "id" })),
  "a service token of Access": await sign(but({ sub: "", common_name: "ci.access" })),
  "Auth0's subject": await sign(but({ sub: "auth0|abc" })),
  "a subject with spaces": await sign(but({ sub: "Zoë B\n" })),
  "the scope": await sign(but({ scope: "openid chat profile" })),
  "the scope in scp": await sign(but({ scp: ["chat"] })),
  "the scope in roles": await sign(but({ roles: ["chat"] })),
  "the scope in permissions": await sign(but({ permissions: ["chat"] })),
  "157 groups": await sign(but({ groups: Array.from({ length: 157 }, () => crypto.randomUUID()) })),
  "another scope": await sign(but({ scope: "openid chatty chat:read" })),
  "no scope": await sign(claims),
  "the next key": await sign(claims, next),

  "expired": await sign(but({ exp: now - 120 })),
  "expired long ago": await sign(but({ exp: 1 })),
  "no exp": await sign(but({ exp: null })),
  "exp is a string": await raw(JSON.stringify(but({ exp: String(now + 600) }))),
  "exp is out of range": await raw(JSON.stringify(claims).replace(/"exp":\d+/, '"exp":1e300')),
  "exp is negative": await sign(but({ exp: -1 })),
  "not yet valid": await sign(but({ nbf: now + 120 })),
  "issued in the future": await sign(but({ iat: now + 120 })),
  "another issuer": await sign(but({ iss: "https://issuer.example" })),
  "an issuer with an additional slash": await sign(but({ iss: `${issuer}/` })),
  "no issuer": await sign(but({ iss: null })),
  "another audience": await sign(but({ aud: "another" })),
  "an audience with the same prefix": await sign(but({ aud: "bedrock-edge-2" })),
  "other audiences": await sign(but({ aud: ["another", "BEDROCK-EDGE"] })),
  "no audience": await sign(but({ aud: null })),
  "an empty array of audiences": await sign(but({ aud: [] })),
  "an audience that is an object": await raw(JSON.stringify(but({ aud: { 0: "bedrock-edge" } }))),
  "Cognito's access token for another client": await sign(but({ client_id: "another" }, cognito)),
  "Cognito's client without its use": await sign(but({ token_use: null }, cognito)),
  "Cognito's refresh token": await sign(but({ token_use: "refresh" })),
  "no subject": await sign(but({ sub: null })),
  "an empty subject": await sign(but({ sub: "" })),
  "a subject of 256 letters": await sign(but({ sub: "a".repeat(256) })),
  "claims that are an array": await raw(JSON.stringify(Object.values(claims))),
  "claims that are not JSON": await raw("hello"),
  "signed by an unknown key": await sign(claims, unknownKey),
  "signed by an unknown key, which is in the header": await sign(claims, unknownKey, { jwk: unknownKey.jwk }),
  "signed by an unknown key, with the URL of another key set": await sign(claims, unknownKey, { jku: `${issuer}/evil.json` }),
  "an unknown kid": await sign(claims, { ...rsa, kid: "unknown" }),
  "an encryption key": await sign(claims, encryption),
  "a key of another algorithm": await sign(claims, { ...sha512, alg: "RS512" }),
  "P-384": await sign(claims, p384),
  "PS256": await sign(claims, pss),
  "RS256 by the kid of an ES256 key": await sign(claims, { ...rsa, kid: "ec" }),
  "ES256 by the kid of an RS256 key": await sign(claims, { ...ec, kid: "rsa" }),
  "HS256 with the public key as the secret": hmac(spki),
  "HS256 with the key's JWK as the secret": hmac(JSON.stringify(rsa.jwk)),
  "HS256 with the modulus as the secret": hmac(Buffer.from(rsa.jwk.n, "base64url")),
  "HS256 that says RS256": hmac(spki, { alg: "RS256" }),
  "none": new UnsecuredJWT(claims).encode(),
  "none with a signature": `${encode({ alg: "none", kid: "rsa" })}.${payload}.${signature}`,
  "None": `${encode({ alg: "None", kid: "rsa" })}.${payload}.`,
  "no alg": `${encode({ kid: "rsa" })}.${payload}.${signature}`,
  "an extension that must be understood": await new CompactSign(Buffer.from(JSON.stringify(claims)))
    .setProtectedHeader({ alg: "RS256", kid: "rsa", crit: ["b64"], b64: true })
    .sign(rsa.privateKey),
  "the claims of another token": `${header}.${encode({ ...claims, sub: "admin" })}.${signature}`,
  "the signature of another token": `${header}.${payload}.${(await sign(but({ sub: "bob" }))).split(".")[2]}`,
  "truncated in the signature": good.slice(0, -10),
  "truncated before the signature": `${header}.${payload}.`,
  "two parts": `${header}.${payload}`,
  "four parts": `${good}.${signature}`,
  "an empty header": `.${payload}.${signature}`,
  "a header that is an array": `${encode(["RS256", "rsa"])}.${payload}.${signature}`,
  "padding": `${header}.${payload}.${signature}==`,
};

const set = (...pairs) => ({ keys: pairs.map(({ jwk }) => jwk) });
console.log(
  JSON.stringify({
    keys: set(rsa, ec, encryption, p384, pss, sha512),
    next: set(next, ec),
    padded: {
      keys: [rsa, ec].map(({ jwk: { n, x, y, ...jwk } }) => ({ ...jwk, ...Object.fromEntries(Object.entries({ n, x, y }).filter(([, it]) => it).map(([name, it]) => [name, Buffer.from(it, "base64url").toString("base64")])) })),
    },
    tokens,
  }),
);
