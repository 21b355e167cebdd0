// The playground: reads the form, runs the conversation, shows what comes.

import { AnswerView, element } from "./answer.js";
import { Figures } from "./figures.js";
import { SNIPPETS } from "./snippets.js";
import { streamByEventSource, streamByFetch } from "./stream.js";

const MAX_FRAMES_SHOWN = 500;
const MAX_TOOL_TURNS = 6;

const byId = (id) => document.getElementById(id);

const EXAMPLES = {
  Prose: { prompt: "Explain streaming in a few words" },
  Code: { prompt: "Write a Python function that reads a stream" },
  Languages: { prompt: "Say hello in every language, with emoji" },
  Reasoning: { prompt: "Why is the sky blue?", reasoning: "medium" },
  Tools: { prompt: "What is the weather in Oslo and in Lima, both?", tools: true },
  JSON: { prompt: "A short forecast for Rome", json: true },
  "A cut stream": { prompt: "This one breaks off [[demo tokens=80 fault=cut@40]]" },
  "A pause": { prompt: "This one pauses [[demo tokens=80 fault=stall@40 stall_s=3]]" },
  "An error": { prompt: "This one fails midway [[demo tokens=80 fault=error@40 status=503]]" },
};

const city = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const TOOLS = {
  get_weather: { parameters: city, run: ({ city }) => `${city}: 18 degrees, light rain` },
  get_time: { parameters: city, run: ({ city }) => `${city}: ${new Date().toLocaleTimeString("en-GB")}` },
};

let messages = [];
let abort = null;
let frames = [];
let isFrameListDue = false;
let snippetName = Object.keys(SNIPPETS)[0];

byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!abort) send();
});
byId("prompt").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId("form").requestSubmit();
});
byId("stop").addEventListener("click", () => abort?.abort(new Error("Stopped.")));
byId("clear").addEventListener("click", startAnew);
byId("model").addEventListener("input", showSnippet);
byId("frames").addEventListener("toggle", showFrames);
byId("copy").addEventListener("click", copySnippet);

for (const [name, example] of Object.entries(EXAMPLES)) {
  const chip = element("button", "", name);
  chip.type = "button";
  chip.addEventListener("click", () => fill(example));
  byId("examples").append(chip);
}
for (const name of Object.keys(SNIPPETS)) {
  const tab = element("button", "", name);
  tab.type = "button";
  tab.setAttribute("role", "tab");
  tab.addEventListener("click", () => showSnippet(name));
  byId("tabs").append(tab);
}
startAnew();
showSnippet();
listModels();

function fill({ prompt, reasoning = "", tools = false, json = false }) {
  byId("prompt").value = prompt;
  byId("reasoning").value = reasoning;
  byId("tools").checked = tools;
  byId("json").checked = json;
  byId("prompt").focus();
}

function startAnew() {
  abort?.abort(new Error("Stopped."));
  messages = [];
  byId("conversation").replaceChildren(element("p", "hint", "The answer appears here, event by event."));
}

/** Ask, and go on as long as the model calls the sample tools. */
async function send() {
  const prompt = byId("prompt").value;
  if (!messages.length) byId("conversation").replaceChildren();
  byId("conversation").append(element("p", "question", prompt));
  messages.push({ role: "user", content: prompt });
  abort = new AbortController();
  byId("send").disabled = true;
  byId("stop").disabled = false;
  try {
    for (let turn = 0; turn < MAX_TOOL_TURNS; turn++) {
      const { view, isWhole } = await answer(abort.signal);
      if (!isWhole || !view.calls.length || !view.calls.every((call) => call.name in TOOLS)) break;
      runTools(view);
    }
  } finally {
    abort = null;
    byId("send").disabled = false;
    byId("stop").disabled = true;
  }
}

async function answer(signal) {
  const view = new AnswerView(byId("conversation"));
  const figures = new Figures();
  let reason = null;
  frames = [];
  const onData = (data) => {
    figures.count();
    keepFrame(data);
    const frame = JSON.parse(data);
    view.show(frame);
    if (frame.type === "usage") figures.usage(frame.usage);
    if (frame.type === "finish") reason = frame.reason;
    if (frame.type === "error") reason = { error: frame.error.type };
  };
  try {
    const options = { key: byId("key").value, signal, onData };
    if (byId("form").elements.transport.value === "fetch") await streamByFetch(requestBody(), options);
    else await streamByEventSource(requestQuery(), options);
    figures.end(reason?.error ?? reason ?? "without a reason", Boolean(reason?.error));
  } catch (fault) {
    if (!signal.aborted) view.fail(fault.message);
    figures.end(signal.aborted ? "stopped" : "failed", !signal.aborted);
    reason = { error: "failed" };
  }
  view.finish();
  remember(view);
  return { view, isWhole: typeof reason === "string" };
}

/** Keep the answer for the next turn. Calls that will not be answered are left out: no provider accepts them. */
function remember(view) {
  const message = { role: "assistant", content: view.text };
  const isOurs = view.calls.length && view.calls.every((call) => call.name in TOOLS);
  if (isOurs) {
    message.content ||= null;
    message.tool_calls = view.calls.map((call) => ({
      id: call.id,
      type: "function",
      function: { name: call.name, arguments: call.arguments },
    }));
  }
  if (message.content || isOurs) messages.push(message);
}

function runTools(view) {
  for (const call of view.calls) {
    let result;
    try {
      result = TOOLS[call.name].run(JSON.parse(call.arguments));
    } catch (fault) {
      result = `Error: ${fault.message}`;
    }
    view.showResult(call.name, result);
    messages.push({ role: "tool", tool_call_id: call.id, content: result });
  }
}

function commonFields() {
  const fields = {};
  for (const [name, id] of [["model", "model"], ["system", "system"], ["reasoning_effort", "reasoning"]]) {
    if (byId(id).value) fields[name] = byId(id).value;
  }
  if (byId("max-tokens").value) fields.max_tokens = Number(byId("max-tokens").value);
  if (byId("json").checked) fields.response_format = "json";
  return fields;
}

function requestBody() {
  const body = { ...commonFields(), messages };
  if (byId("tools").checked) {
    body.tools = Object.entries(TOOLS).map(([name, { parameters }]) => ({ type: "function", function: { name, parameters } }));
  }
  return body;
}

/** An EventSource can only GET: the last prompt, without the conversation and without tools. */
function requestQuery() {
  return { ...commonFields(), prompt: messages.at(-1).content };
}

function keepFrame(data) {
  frames.push(data);
  if (frames.length > MAX_FRAMES_SHOWN) frames.shift();
  showFrames();
}

function showFrames() {
  if (isFrameListDue || !byId("frames").open) return;
  isFrameListDue = true;
  requestAnimationFrame(() => {
    isFrameListDue = false;
    const list = byId("frame-list");
    list.textContent = frames.join("\n");
    list.scrollTop = list.scrollHeight;
  });
}

function showSnippet(name) {
  if (typeof name === "string") snippetName = name;
  for (const tab of byId("tabs").children) tab.setAttribute("aria-selected", tab.textContent === snippetName);
  byId("snippet").textContent = SNIPPETS[snippetName](location.origin, byId("model").value || "demo");
}

async function copySnippet() {
  await navigator.clipboard?.writeText(byId("snippet").textContent);
  byId("copy").textContent = "Copied";
  setTimeout(() => (byId("copy").textContent = "Copy"), 1500);
}

async function listModels() {
  const response = await fetch("/v1/models", { headers: { authorization: `Bearer ${byId("key").value || "none"}` } });
  if (!response.ok) return;
  const { data } = await response.json();
  // Patterns are names that a caller may extend, not names.
  const names = data.map(({ id }) => id).filter((id) => !id.includes("*"));
  byId("models").replaceChildren(...names.map((value) => Object.assign(element("option"), { value })));
  byId("model").value ||= names[0] ?? "";
  showSnippet();
}
