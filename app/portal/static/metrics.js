// The gateway's metrics, as far as a person looks at them. https://prometheus.io/docs/instrumenting/exposition_formats/

/** Sums by name, over all labels, from Prometheus' text format. */
export function readMetrics(text) {
  const sums = new Map();
  for (const line of text.split("\n")) {
    const found = /^([a-zA-Z_:][\w:]*)(?:\{.*\})? (\S+)/.exec(line);
    if (found) sums.set(found[1], (sums.get(found[1]) ?? 0) + Number(found[2]));
  }
  return sums;
}

/** What is shown of one scrape after the other. */
export class Rates {
  #written = null;
  #at = null;

  /** The figures of a moment (in milliseconds); what is not known is left out. */
  figures(sums, now) {
    const written = sums.get("gateway_completion_tokens_total") ?? 0;
    const seconds = (now - this.#at) / 1000;
    // A counter that went back was begun anew by another process.
    const speed = this.#written === null || written < this.#written ? undefined : (written - this.#written) / seconds;
    this.#written = written;
    this.#at = now;
    return {
      running: sums.get("gateway_engine_requests_running"),
      waiting: sums.get("gateway_engine_requests_waiting"),
      tokens: speed === undefined ? undefined : Math.round(speed),
      calls: sums.get("gateway_requests_running"),
    };
  }
}
