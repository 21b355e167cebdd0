// The canonical stream in a browser: by fetch (POST) and by EventSource (GET).

export const DONE = "[DONE]";

/** Cuts a text that arrives in pieces into the events of the WHATWG standard; gives the data of each. */
export class SseReader {
  #rest = "";
  #data = [];

  /** The data of the events that `text` completes. */
  push(text) {
    const found = [];
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (this.#data.length) found.push(this.#data.join("\n"));
        this.#data = [];
      } else if (line.startsWith("data:")) {
        this.#data.push(line.slice(line[5] === " " ? 6 : 5));
      } else if (line === "data") {
        this.#data.push("");
      }
    }
    return found;
  }
}

/** POST `body` and hand every frame to `onData`. Rejects when the stream fails, breaks off or is stopped by `signal`. */
export async function streamByFetch(body, { key, signal, onData }) {
  const headers = { "content-type": "application/json" };
  if (key) headers.authorization = `Bearer ${key}`;
  const response = await fetch("/chat", { method: "POST", headers, body: JSON.stringify(body), signal });
  if (!response.ok) throw new Error(await failureOf(response));
  const reader = new SseReader();
  const decoder = new TextDecoder();
  for (const chunks = response.body.getReader(); ;) {
    const { done, value } = await chunks.read();
    if (done) break;
    for (const data of reader.push(decoder.decode(value, { stream: true }))) {
      if (data === DONE) return;
      onData(data);
    }
  }
  throw new Error("The stream broke off without its end.");
}

/** GET with `query` and hand every frame to `onData`. An EventSource cannot say why it failed. */
export function streamByEventSource(query, { key, signal, onData }) {
  const parameters = new URLSearchParams(query);
  if (key) parameters.set("key", key);
  return new Promise((resolve, reject) => {
    const source = new EventSource(`/chat?${parameters}`);
    const finish = (settle, value) => {
      source.close();
      settle(value);
    };
    source.onmessage = ({ data }) => (data === DONE ? finish(resolve) : onData(data));
    // Closed at once: by itself it would reconnect, and a second answer would begin.
    source.onerror = () => finish(reject, new Error("The browser lost the stream, or could not open it. Fetch says why."));
    signal.addEventListener("abort", () => finish(reject, signal.reason), { once: true });
  });
}

async function failureOf(response) {
  const text = await response.text();
  try {
    const { error } = JSON.parse(text);
    return `${response.status} ${error.type}: ${error.message}`;
  } catch {
    return `${response.status} ${response.statusText}: ${text.slice(0, 200)}`;
  }
}
