// The official `openai` package on Responses.

import { client } from "./openai_chat.mjs";

const request = (call) => ({ model: call.model, input: "hi", ...call.options });

async function readRaw(call, reading) {
  const items = new Map();
  let end = null;
  for await (const event of await client(call).responses.create({ ...request(call), stream: true })) {
    addEvent(reading, items, event);
    if (["response.completed", "response.incomplete", "response.failed"].includes(event.type)) end = event.response;
  }
  if (end === null) throw new Error("no terminal event");
  addEnd(reading, end);
}

function addEvent(reading, items, event) {
  switch (event.type) {
    case "response.output_text.delta":
      reading.text += event.delta;
      break;
    case "response.refusal.delta":
      reading.refusal += event.delta;
      break;
    case "response.reasoning_summary_text.delta":
    case "response.reasoning_text.delta":
      reading.reasoning += event.delta;
      break;
    case "response.output_item.added":
      if (!isCall(event.item)) break;
      items.set(event.output_index, { id: event.item.call_id, name: event.item.name, arguments: "" });
      reading.tool_calls = [...items.values()];
      break;
    case "response.function_call_arguments.delta":
    case "response.custom_tool_call_input.delta":
      items.get(event.output_index).arguments += event.delta;
  }
}

const isCall = (item) => item.type === "function_call" || item.type === "custom_tool_call";

function addEnd(reading, response) {
  reading.usage = response.usage ?? null;
  reading.finish = response.incomplete_details?.reason ?? response.status;
  if (response.status === "failed") throw new Error(response.error?.message);
}

async function readHelper(call, reading) {
  addResponse(reading, await client(call).responses.stream(request(call)).finalResponse());
}

async function readWhole(call, reading) {
  addResponse(reading, await client(call).responses.create(request(call)));
}

function addResponse(reading, response) {
  for (const item of response.output) {
    if (item.type === "message")
      for (const part of item.content) {
        if (part.type === "refusal") reading.refusal += part.refusal;
        else reading.text += part.text;
      }
    else if (item.type === "reasoning")
      for (const part of [...(item.summary ?? []), ...(item.content ?? [])]) reading.reasoning += part.text;
    else if (isCall(item))
      reading.tool_calls.push({ id: item.call_id, name: item.name, arguments: item.arguments ?? item.input });
  }
  addEnd(reading, response);
}

export const READERS = {
  "openai-js-responses": readRaw,
  "openai-js-responses-helper": readHelper,
  "openai-js-responses-whole": readWhole,
};
