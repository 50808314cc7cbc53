// A call to Bedrock: how long it may take, whether anybody still waits for it, what is tried again.
import { Failure, refused, unavailable } from "./failure.js";
import { payload } from "./request.js";

/** Ends what is under way when the client leaves, or after so many milliseconds. */
export class Limit {
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

  get clientLeft() {
    return this.#client.aborted;
  }

  get left() {
    return this.#end - Date.now();
  }

  stop() {
    clearTimeout(this.#timer);
  }

  /** What to say of an error of fetch or of a body. */
  failure(error) {
    return this.timedOut ? new Failure("timeout", "Bedrock invocation failed", { cause: "no answer: it took too long" }) : unavailable(error);
  }
}

const PASSING = new Set(["throttled", "unavailable"]);
const MAX_BACKOFF_MS = 20_000;

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Bedrock's answer of status 200, of one of several attempts. */
export async function post(url, request, context) {
  const { call, config, record, limit } = context;
  const init = {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/json" },
    body: payload(request),
    redirect: "manual",
    signal: limit.signal,
  };
  for (;;) {
    context.attempts += 1;
    try {
      return await once(url, init, call, record, limit);
    } catch (failure) {
      if (!PASSING.has(failure.code) || limit.signal.aborted) throw failure;
      const longest = Math.min(1000 * 2 ** record.retries, MAX_BACKOFF_MS);
      const wait = failure.retryAfter === undefined ? longest * Math.random() : failure.retryAfter * 1000;
      if (context.attempts === config.maxAttempts || wait >= limit.left) {
        failure.retryAfter ??= Math.ceil(longest / 1000);
        throw failure;
      }
      await sleep(wait);
      record.retries += 1;
    }
  }
}

async function once(url, init, call, record, limit) {
  let response;
  try {
    response = await call(url, init);
  } catch (error) {
    throw limit.failure(error);
  }
  record.upstream_status = response.status;
  record.x_amzn_requestid = token(response.headers.get("x-amzn-requestid"));
  if (response.status !== 200) throw await refused(response);
  return response;
}

export const token = (text) => (typeof text === "string" && /^[\w.:=/-]{1,128}$/.test(text) ? text : undefined);
