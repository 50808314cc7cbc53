// The JavaScript side of sign.rs: the service and the region of a request, and the request with its signature.

/** SERVICE.REGION.amazonaws.com, perhaps behind the name of a resource, and Function URLs. */
const HOST = /(?:^|\.)([a-z0-9-]+)\.([a-z]{2}(?:-[a-z]+)+-\d)\.(?:amazonaws\.com(?:\.cn)?|api\.aws|on\.aws)$/;

/** Returns the names of the service and of the region to sign for. An empty region is that of the configuration. */
export function scopeOf(host, service, region) {
  const [, label, its] = HOST.exec(host) ?? [];
  // The signing name differs from the one in the host.
  const name = { "lambda-url": "lambda" }[label] ?? label?.replace(/^bedrock-.*/, "bedrock");
  if (!(service ?? name)) throw new TypeError(`expected the option service, because the host ${host} does not name one`);
  return [service ?? name, region ?? its ?? ""];
}

/** Returns the request with these headers: names and values by turns, a line each. */
export function signed(request, body, lines) {
  const headers = new Headers(request.headers);
  const parts = lines.split("\n");
  for (let i = 0; i + 1 < parts.length; i += 2) headers.set(parts[i], parts[i + 1]);
  return new Request(request, { headers, body: body || undefined });
}
