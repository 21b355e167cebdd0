// The official `openai` package on Chat Completions.

import OpenAI from "openai";

export const client = (call) =>
  new OpenAI({ apiKey: "test-key", baseURL: `${call.base_url}/v1`, maxRetries: 0, timeout: 30_000 });

const request = (call) => ({ model: call.model, messages: [{ role: "user", content: "hi" }], ...call.options });

const streamed = (call) => ({ ...request(call), stream: true, stream_options: { include_usage: true } });

// Under any of its names; some vendors tell it only in the details.
const reasoningOf = (part) =>
  part.reasoning_content ||
  part.reasoning ||
  (part.reasoning_details ?? []).map((detail) => detail.text || detail.summary || "").join("");

async function readRaw(call, reading) {
  const calls = new Map();
  for await (const chunk of await client(call).chat.completions.create(streamed(call))) {
    reading.usage = chunk.usage ?? reading.usage;
    const choice = chunk.choices?.find((one) => (one.index ?? 0) === 0);
    if (!choice) continue;
    const delta = choice.delta ?? {};
    reading.text += delta.content ?? "";
    reading.reasoning += reasoningOf(delta);
    reading.refusal += delta.refusal ?? "";
    reading.finish = choice.finish_reason ?? reading.finish;
    for (const fragment of delta.tool_calls ?? []) {
      const one = calls.get(fragment.index) ?? { id: "", name: "", arguments: "" };
      calls.set(fragment.index, one);
      one.id ||= fragment.id ?? "";
      one.name ||= fragment.function?.name ?? "";
      one.arguments += fragment.function?.arguments ?? "";
      reading.tool_calls = [...calls.values()];
    }
  }
}

async function readHelper(call, reading) {
  addCompletion(reading, await client(call).chat.completions.stream(streamed(call)).finalChatCompletion());
}

async function readWhole(call, reading) {
  addCompletion(reading, await client(call).chat.completions.create(request(call)));
}

function addCompletion(reading, completion) {
  const choice = completion.choices[0];
  const message = choice.message ?? {};
  reading.usage = completion.usage ?? null;
  reading.text = message.content ?? "";
  reading.reasoning = reasoningOf(message);
  reading.refusal = message.refusal ?? "";
  reading.finish = choice.finish_reason;
  reading.tool_calls = (message.tool_calls ?? []).map((one) => ({
    id: one.id,
    name: one.function.name,
    arguments: one.function.arguments,
  }));
}

export const READERS = { "openai-js": readRaw, "openai-js-helper": readHelper, "openai-js-whole": readWhole };
