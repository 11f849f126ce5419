// Calls of the gateway's own API. What fails is a Problem, whoever made the answer.

/** A failure as the API tells it: status, message, trace id, and the seconds after which to try again. */
export class Problem extends Error {
  constructor(status, message, traceId = null, retryAfter = null) {
    super(message);
    Object.assign(this, { status, traceId, retryAfter });
  }
}

/** The response of a call. Throws a Problem, or an AbortError when it was stopped. */
export async function call(path, { method = "GET", headers = {}, body = null, signal = null } = {}) {
  let response;
  try {
    response = await fetch(path, {
      method,
      headers: body === null ? headers : { "Content-Type": "application/json", ...headers },
      body: body === null ? null : JSON.stringify(body),
      signal,
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      referrerPolicy: "no-referrer",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    if (!isHeaderValue(headers)) throw new Problem(0, "The key has characters that no key has. Enter it again.");
    throw new Problem(0, "The gateway cannot be reached. Is it running, and are you online?");
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

/** The headers that say who calls. */
export const withKey = (key) => (key ? { "Ocp-Apim-Subscription-Key": key } : {});

const isHeaderValue = (headers) => Object.values(headers).every((value) => /^[\x20-\x7e]*$/.test(value));

async function problemOf(response) {
  const text = await response.text();
  const retryAfter = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  return problemFrom(text, response.status, response.headers.get("X-Trace-Id"), Number.isNaN(retryAfter) ? null : retryAfter);
}

/** A Problem from an error body; a proxy may have made it, and it may be no JSON. */
export function problemFrom(text, status, traceId, retryAfter = null) {
  let body = {};
  try {
    body = JSON.parse(text) ?? {};
  } catch {
    // told by its status
  }
  const message = body.message ?? `The answer has the status ${status}, and was not made by the gateway.`;
  return new Problem(body.code ?? status, message, body.traceId ?? traceId, retryAfter);
}

/** Server-sent events as they come: `{name, data, text}` each. https://html.spec.whatwg.org/#server-sent-events */
export async function* events(response) {
  let rest = "";
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const whole = (rest + value).split("\n\n");
    rest = whole.pop();
    for (const text of whole) {
      const event = { name: "message", data: "", text };
      for (const line of text.split("\n")) {
        if (line.startsWith("event: ")) event.name = line.slice(7);
        if (line.startsWith("data: ")) event.data += line.slice(6);
      }
      yield event;
    }
  }
}
