// A call to Bedrock: its deadline, its cancellation when the client disconnects, and its retries.
import { Failure, failureOf, unavailable } from "./failure.js";

/** Aborts the call when the client disconnects or after a number of milliseconds. */
export class Deadline {
  timedOut = false;
  #client;
  #end;
  #controller = new AbortController();
  #timer;

  constructor(client, ms) {
    this.#client = client;
    this.#end = Date.now() + ms;
    this.#timer = setTimeout(() => {
      this.timedOut = true;
      this.#controller.abort();
    }, ms);
    client.addEventListener("abort", () => this.#controller.abort(), { once: true });
  }

  get signal() {
    return this.#controller.signal;
  }

  get clientDisconnected() {
    return this.#client.aborted;
  }

  get remaining() {
    return this.#end - Date.now();
  }

  stop() {
    clearTimeout(this.#timer);
  }

  /** The failure for an error of fetch or of reading a body. */
  failure(error) {
    return this.timedOut ? new Failure("timeout", "Bedrock invocation failed", { cause: "no response: it took too long" }) : unavailable(error);
  }
}

const TRANSIENT = new Set(["throttled", "unavailable"]);
const MAX_BACKOFF_MS = 20_000;

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Bedrock's response of status 200, after retries. */
export async function post(url, body, context, headers = {}) {
  const { call, config, record, deadline } = context;
  const init = {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/json", ...headers },
    body,
    redirect: "manual",
    signal: deadline.signal,
  };
  for (;;) {
    context.attempts += 1;
    try {
      return await attempt(url, init, call, record, deadline);
    } catch (failure) {
      if (!TRANSIENT.has(failure.code) || deadline.signal.aborted) throw failure;
      const longest = Math.min(1000 * 2 ** record.retries, MAX_BACKOFF_MS);
      const wait = failure.retryAfter === undefined ? longest * Math.random() : failure.retryAfter * 1000;
      if (context.attempts === config.maxAttempts || wait >= deadline.remaining) {
        failure.retryAfter ??= Math.ceil(longest / 1000);
        throw failure;
      }
      await sleep(wait);
      record.retries += 1;
    }
  }
}

async function attempt(url, init, call, record, deadline) {
  let response;
  try {
    response = await call(url, init);
  } catch (error) {
    throw deadline.failure(error);
  }
  record.upstream_status = response.status;
  record.x_amzn_requestid = identifier(response.headers.get("x-amzn-requestid"));
  if (response.status !== 200) throw await failureOf(response);
  return response;
}

export const identifier = (text) => (typeof text === "string" && /^[\w.:=/-]{1,128}$/.test(text) ? text : undefined);
