// Terminates TLS in front of a server that speaks plain HTTP/1.1, as Cloudflare does in front of a Worker:
// `tls_proxy.mjs CERTIFICATE KEY PORT`. Clients speak HTTP/2, or HTTP/1.1 if they do not offer it. Prints its own port, and
// runs until standard input is closed.
import { readFileSync } from "node:fs";
import { request } from "node:http";
import { createSecureServer } from "node:http2";

// HTTP/2 has no headers of a connection.
const OF_A_CONNECTION = ["connection", "keep-alive", "transfer-encoding"];

const [certificate, key, port] = process.argv.slice(2);
const options = { cert: readFileSync(certificate), key: readFileSync(key), allowHTTP1: true };
const server = createSecureServer(options, (received, response) => {
  const { method, url, headers } = received;
  const sent = Object.fromEntries(Object.entries(headers).filter(([name]) => !name.startsWith(":")));
  sent.host ??= headers[":authority"];
  const upstream = request({ host: "127.0.0.1", port, method, path: url, headers: sent }, (answered) => {
    const passed = Object.entries(answered.headers).filter(([name]) => !OF_A_CONNECTION.includes(name));
    response.writeHead(answered.statusCode, Object.fromEntries(passed));
    answered.on("aborted", () => response.stream?.destroy() ?? response.destroy()).pipe(response);
  });
  upstream.on("error", () => response.stream?.destroy() ?? response.destroy());
  response.on("close", () => upstream.destroy());
  received.pipe(upstream);
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.resume().on("end", () => process.exit());
