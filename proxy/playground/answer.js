// Shows one answer, frame by frame. Everything from the stream becomes text nodes: nothing is ever read as HTML.

export function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

export class AnswerView {
  #root = element("div", "answer live");
  #open = null;
  #openType = "";
  #json = null;
  #sources = null;
  #calls = new Map();

  constructor(container) {
    container.append(this.#root);
  }

  /** The text so far. */
  text = "";

  /** The finished tool calls that the caller is to run: `{id, name, arguments}`. */
  calls = [];

  show(frame) {
    if (frame.text) this.#append("text", frame.text);
    switch (frame.type) {
      case "reasoning_delta": return this.#append("reasoning", frame.reasoning);
      case "refusal": return this.#append("refusal", frame.refusal);
      case "tool_call_start": return this.#startCall(frame);
      case "tool_call_delta": return this.#call(frame.id).append(frame.arguments);
      case "tool_call_end": return this.#endCall(frame);
      case "tool_call_result": return this.#block(`result ${frame.result_type ?? ""}`, JSON.stringify(frame.result, null, 2));
      case "json": return this.#showJson(frame.json);
      case "citation": return this.#cite(frame.citation);
      case "file": return this.#showFile(frame);
      case "error": return this.fail(`${frame.error.type}: ${frame.error.message}${frame.error.retryable ? " (may be tried again)" : ""}`);
    }
  }

  fail(message) {
    this.#close();
    this.#root.append(element("div", "error", message));
  }

  /** The result of a tool that ran here. */
  showResult(name, result) {
    this.#block(`${name} →`, result);
  }

  finish() {
    this.#root.classList.remove("live");
  }

  #append(type, text) {
    if (type === "text") this.text += text;
    if (this.#openType !== type) this.#start(type);
    this.#open.appendData(text);
  }

  /** Text goes to one node until something else comes between. */
  #start(type) {
    this.#open = document.createTextNode("");
    this.#openType = type;
    const block = element(type === "reasoning" ? "p" : "div", type === "reasoning" ? "" : type);
    block.append(this.#open);
    if (type !== "reasoning") return this.#root.append(block);
    const details = element("details", "reasoning");
    details.open = true;
    details.append(element("summary", "", "Reasoning"), block);
    this.#root.append(details);
  }

  #close() {
    this.#openType = "";
  }

  #block(title, text) {
    this.#close();
    const block = element("div", "block");
    const body = element("pre", "", text);
    block.append(element("h3", "", title), body);
    this.#root.append(block);
    return body;
  }

  #startCall(frame) {
    this.#calls.set(frame.id, this.#block(`${frame.name}${frame.kind ? ` (${frame.kind})` : ""}`, ""));
  }

  #call(id) {
    if (!this.#calls.has(id)) this.#startCall({ id, name: id });
    return this.#calls.get(id);
  }

  #endCall(frame) {
    if (frame.arguments !== undefined) this.#call(frame.id).textContent = pretty(frame.arguments);
    if (frame.kind !== "server") this.calls.push({ id: frame.id, name: frame.name, arguments: frame.arguments ?? "" });
  }

  #showJson(value) {
    this.#json ??= this.#block("value so far", "");
    this.#json.textContent = JSON.stringify(value, null, 2);
  }

  #cite(citation) {
    if (!this.#sources) {
      this.#sources = element("ul", "sources");
      this.#root.append(this.#sources);
    }
    const label = citation.title || citation.url || citation.cited_text || "source";
    const item = element("li");
    if (/^https?:\/\//i.test(citation.url ?? "")) {
      const link = element("a", "", label);
      link.href = citation.url;
      link.rel = "noopener noreferrer";
      link.target = "_blank";
      item.append(link);
    } else {
      item.textContent = label;
    }
    this.#sources.append(item);
    this.#close();
  }

  #showFile(frame) {
    this.#close();
    if (!frame.data || !/^image\/[\w.+-]+$/.test(frame.media_type)) {
      this.#block("file", `${frame.media_type} ${frame.url ?? ""}`);
      return;
    }
    const image = element("img");
    image.alt = `generated ${frame.media_type}`;
    image.src = `data:${frame.media_type};base64,${frame.data}`;
    this.#root.append(image);
  }
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
