// An answer while it comes: its text, what came over the wire, and its figures.

import { problemFrom } from "./api.js";
import { byId } from "./dom.js";

const READ = {
  "get-data": {
    whole: (body) => body.generated_text,
    piece: (event) => event.generated_text,
    finish: (body) => body.finish_reason,
  },
  chat: {
    whole: (body) => body.choices[0].message.content,
    piece: (event) => event.choices[0]?.delta.content,
    finish: (body) => body.choices[0]?.finish_reason,
  },
  completion: {
    whole: (body) => body.choices[0].text,
    piece: (event) => event.choices[0]?.text,
    finish: (body) => body.choices[0]?.finish_reason,
  },
};

export class Answer {
  constructor(kind) {
    this.kind = kind;
    this.started = performance.now();
    this.first = null;
    this.text = "";
    for (const element of document.querySelectorAll("[data-fact]")) element.textContent = "–";
    byId("text").textContent = "";
    byId("wire").textContent = "";
  }

  /** The head of the answer is there. */
  begin(response) {
    this.status = response.status;
    this.traceId = response.headers.get("X-Trace-Id");
    fact("status", `${response.status}`);
    fact("trace", this.traceId);
    const left = ["requests", "tokens"]
      .map((of) => [response.headers.get(`x-ratelimit-remaining-${of}`), of === "requests" ? "calls" : of])
      .filter(([count]) => count !== null)
      .map(([count, of]) => `${count} ${of}`);
    if (left.length) fact("left", left.join(", "));
  }

  /** An answer that came whole. */
  whole(text) {
    this.end();
    byId("wire").textContent = text;
    if (this.kind === "plain") {
      byId("text").textContent = pretty(text);
      return;
    }
    const body = JSON.parse(text);
    this.figures(body);
    byId("text").textContent = READ[this.kind].whole(body) ?? "";
  }

  /** An event of a stream; true where it was the last. Throws the Problem that it tells. */
  event({ data, text }) {
    byId("wire").append(text + "\n\n");
    if (data === "[DONE]") {
      this.end();
      return true;
    }
    const event = JSON.parse(data);
    if (event.code) throw problemFrom(data, event.code, this.traceId);
    const piece = READ[this.kind].piece(event);
    if (piece) {
      if (this.first === null) {
        this.first = performance.now();
        fact("first", seconds(this.first - this.started));
      }
      byId("text").append(piece);
    }
    this.figures(event);
    return false;
  }

  figures(body) {
    if (body.model) fact("model", body.model);
    const finish = READ[this.kind].finish(body);
    if (finish) fact("finish", finish === "length" ? "length: max_tokens, or the context" : finish);
    if (body.usage) {
      const { prompt_tokens: read, completion_tokens: written, total_tokens: all } = body.usage;
      this.written = written;
      fact("tokens", `${read} read + ${written} written = ${all}`);
    }
    this.speed();
  }

  /** It is over, however it ended. */
  end() {
    this.ended = performance.now();
    fact("total", seconds(this.ended - this.started));
    this.speed();
  }

  speed() {
    // Of a stream, the time before its first words is not of their making.
    const from = this.first ?? this.started;
    const length = ((this.ended ?? performance.now()) - from) / 1000;
    if (this.written > 1 && length > 0) fact("speed", (this.written / length).toFixed(0));
  }
}

function fact(name, text) {
  const element = document.querySelector(`[data-fact="${name}"]`);
  if (element && text) element.textContent = text;
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

const seconds = (milliseconds) => `${(milliseconds / 1000).toFixed(2)} s`;
