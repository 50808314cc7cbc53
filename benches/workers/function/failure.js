// The failures of a request, and the classification of AWS's errors.

const STATUS = {
  invalid_request: 400,
  unauthorized: 401,
  not_found: 404,
  method_not_allowed: 405,
  payload_too_large: 413,
  unsupported_media_type: 415,
};

export class Failure extends Error {
  constructor(code, message, { cause, allow, challenge, retryAfter } = {}) {
    super(message, { cause });
    this.code = code;
    this.status = STATUS[code] ?? 500;
    this.allow = allow;
    this.challenge = challenge;
    this.retryAfter = retryAfter;
  }
}

const CODES = {
  ThrottlingException: "throttled",
  ServiceQuotaExceededException: "throttled",
  ModelTimeoutException: "timeout",
  ResourceNotFoundException: "model_not_found",
  ValidationException: "rejected",
  ModelErrorException: "model_error",
  ModelStreamErrorException: "model_error",
  ModelNotReadyException: "unavailable",
  ServiceUnavailableException: "unavailable",
  AccessDeniedException: "access_denied",
  ExpiredTokenException: "access_denied",
  InvalidSignatureException: "access_denied",
  UnrecognizedClientException: "access_denied",
};

const CODES_OF_STATUS = { 401: "access_denied", 403: "access_denied", 404: "model_not_found", 408: "timeout", 424: "model_error", 429: "throttled", 504: "timeout" };

/** The failure for a response of Bedrock with a status other than 200. */
export async function failureOf(response) {
  const body = await response.json().catch(() => ({}));
  const kind = errorType(response.headers.get("x-amzn-errortype") ?? body.__type ?? "");
  const message = body.message ?? body.Message ?? "";
  const code = CODES[kind] ?? CODES_OF_STATUS[response.status] ?? (response.status >= 500 ? "unavailable" : "rejected");
  const cause = `${response.status} ${response.statusText} ${kind || "without a type"}${message && `: ${message}`}`;
  return new Failure(code, "Bedrock invocation failed", { cause, retryAfter: response.headers.get("retry-after") ?? undefined });
}

/** The failure for an exception in a stream. */
export function exception(kind, message) {
  const code = CODES[kind.charAt(0).toUpperCase() + kind.slice(1)] ?? "unavailable";
  return new Failure(code, "Bedrock invocation failed", { cause: `${kind}: ${message}` });
}

export function unavailable(error) {
  return new Failure("unavailable", "Bedrock invocation failed", { cause: `no response: ${error.message}` });
}

export function invalidResponse(cause, code = "invalid_response") {
  return new Failure(code, "Invalid Bedrock response", { cause });
}

const errorType = (text) => text.split(":", 1)[0].replace(/^.*#/, "").trim();
