// The official `@anthropic-ai/sdk` package.

import Anthropic from "@anthropic-ai/sdk";

const client = (call) =>
  new Anthropic({ apiKey: "test-key", baseURL: call.base_url, maxRetries: 0, timeout: 30_000 });

const request = (call) => ({
  model: call.model,
  max_tokens: 1000,
  messages: [{ role: "user", content: "hi" }],
  ...call.options,
});

async function readRaw(call, reading) {
  const blocks = [];
  let stopped = false;
  for await (const event of await client(call).messages.create({ ...request(call), stream: true })) {
    switch (event.type) {
      case "message_start":
        reading.usage = { ...event.message.usage };
        break;
      case "content_block_start":
        blocks[event.index] = { ...event.content_block, json: "" };
        break;
      case "content_block_delta":
        addDelta(reading, blocks[event.index], event.delta);
        break;
      case "message_delta":
        reading.finish = event.delta.stop_reason ?? reading.finish;
        for (const [name, value] of Object.entries(event.usage)) if (value != null) reading.usage[name] = value;
        break;
      case "message_stop":
        stopped = true;
    }
    addCalls(reading, blocks);
    if (stopped) return;
  }
  throw new Error("no message_stop");
}

function addDelta(reading, block, delta) {
  if (delta.type === "text_delta") reading.text += delta.text;
  else if (delta.type === "thinking_delta") reading.reasoning += delta.thinking;
  else if (delta.type === "input_json_delta") block.json += delta.partial_json;
}

function addCalls(reading, blocks) {
  reading.tool_calls = blocks
    .filter((block) => block?.type === "tool_use")
    .map((block) => ({ id: block.id, name: block.name, arguments: block.json || JSON.stringify(block.input) }));
}

async function readHelper(call, reading) {
  addMessage(reading, await client(call).messages.stream(request(call)).finalMessage());
}

async function readWhole(call, reading) {
  addMessage(reading, await client(call).messages.create(request(call)));
}

function addMessage(reading, message) {
  reading.usage = message.usage;
  reading.finish = message.stop_reason;
  for (const block of message.content) {
    if (block.type === "text") reading.text += block.text;
    else if (block.type === "thinking") reading.reasoning += block.thinking;
  }
  addCalls(
    reading,
    message.content.map((block) => ({ ...block, json: "" })),
  );
}

export const READERS = { "anthropic-js": readRaw, "anthropic-js-helper": readHelper, "anthropic-js-whole": readWhole };
