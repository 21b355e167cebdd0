// The numbers above an answer, and the strip that shows when its events came.

const WINDOW_MS = 8000;

const byId = (id) => document.getElementById(id);

export class Figures {
  #startedAt = performance.now();
  #firstAt = 0;
  #lastAt = 0;
  #events = 0;
  #times = [];
  #isLive = true;

  constructor() {
    for (const id of ["first", "events", "rate", "usage", "ended"]) byId(id).textContent = "–";
    byId("ended").className = "";
    requestAnimationFrame(() => this.#draw());
  }

  count() {
    this.#lastAt = performance.now();
    this.#firstAt ||= this.#lastAt;
    this.#events += 1;
    this.#times.push(this.#lastAt);
  }

  usage({ input_tokens: input, output_tokens: output }) {
    byId("usage").textContent = `${input ?? "?"} / ${output ?? "?"}`;
  }

  end(reason, isBad = false) {
    this.#isLive = false;
    byId("ended").textContent = reason;
    byId("ended").className = isBad ? "bad" : "";
    this.#write();
  }

  #write() {
    if (!this.#events) return;
    const seconds = (this.#lastAt - this.#firstAt) / 1000;
    byId("first").textContent = `${Math.round(this.#firstAt - this.#startedAt)} ms`;
    byId("events").textContent = this.#events.toLocaleString("en");
    byId("rate").textContent = seconds > 0 ? ((this.#events - 1) / seconds).toFixed(seconds > 1 ? 1 : 0) : "–";
  }

  /** One line for each event of the last seconds, until the answer has ended. */
  #draw() {
    this.#write();
    const canvas = byId("pulse");
    const scale = window.devicePixelRatio || 1;
    const width = (canvas.width = canvas.clientWidth * scale);
    const height = (canvas.height = 28 * scale);
    const now = performance.now();
    const context = canvas.getContext("2d");
    context.fillStyle = getComputedStyle(canvas).color;
    context.globalAlpha = 0.6;
    this.#times = this.#times.filter((time) => now - time < WINDOW_MS);
    for (const time of this.#times) {
      context.fillRect(width * (1 - (now - time) / WINDOW_MS), height * 0.15, scale, height * 0.7);
    }
    if (this.#isLive) requestAnimationFrame(() => this.#draw());
  }
}
