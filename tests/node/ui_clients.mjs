// Clients of chat interfaces: the AI SDK's transports of four versions, and AG-UI's agent.

import { HttpAgent } from "@ag-ui/client";
import { processDataStream } from "@ai-sdk/ui-utils";
import * as ai7 from "ai";
import * as ai5 from "ai5";
import * as ai6 from "ai6";

const HI = { id: "u1", role: "user", parts: [{ type: "text", text: "hi" }] };

const toolCall = (id, name, input) => ({
  id,
  name,
  arguments: typeof input === "string" ? input : JSON.stringify(input ?? {}),
});

// --- AI SDK 5 to 7

// The call's options belong to the app's part of the body, `messages` apart.
const send = (transport, call) => {
  const { messages = [HI], ...body } = call.options;
  return transport.sendMessages({
    trigger: "submit-message",
    chatId: "c1",
    messages,
    body: { model: call.model, ...body },
  });
};

const readUi = (ai) => async (call, reading) => {
  const transport = new ai.DefaultChatTransport({ api: `${call.base_url}/ui/chat` });
  let finish = null;
  const watch = new TransformStream({
    transform(chunk, controller) {
      if (chunk.type === "finish") finish = chunk.finishReason;
      controller.enqueue(chunk);
    },
  });
  const stream = (await send(transport, call)).pipeThrough(watch);
  const onError = (fault) => reading.fail(fault);
  let message = null;
  for await (const state of ai.readUIMessageStream({ stream, onError })) message = state;
  reading.finish = finish;
  addUiMessage(reading, message);
  if (finish === null && reading.error === null) throw new Error("no finish");
};

function addUiMessage(reading, message) {
  reading.usage = message?.metadata?.usage ?? null;
  reading.message = message;
  for (const part of message?.parts ?? []) {
    if (part.type === "text") reading.text += part.text;
    else if (part.type === "reasoning") reading.reasoning += part.text;
    else if (part.type.startsWith("tool-") && !part.providerExecuted)
      reading.tool_calls.push(toolCall(part.toolCallId, part.type.slice(5), part.input ?? part.rawInput));
  }
}

const readText = (ai) => async (call, reading) => {
  const transport = new ai.TextStreamChatTransport({ api: `${call.base_url}/ui/text/chat` });
  for await (const chunk of await send(transport, call)) if (chunk.type === "text-delta") reading.text += chunk.delta;
};

async function resume(call, reading) {
  const transport = new ai7.DefaultChatTransport({ api: `${call.base_url}/ui/chat` });
  reading.finish = (await transport.reconnectToStream({ chatId: "c 1" })) === null ? "nothing" : "stream";
}

// --- AI SDK 4

async function readDataStream(call, reading) {
  const messages = [{ role: "user", content: "hi" }];
  const response = await fetch(`${call.base_url}/ui/v4/chat`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ id: "c1", messages, model: call.model, ...call.options }),
  });
  if (!response.ok) throw new Error(await response.text());
  const calls = new Map();
  await processDataStream({
    stream: response.body,
    onTextPart: (text) => (reading.text += text),
    onReasoningPart: (text) => (reading.reasoning += text),
    onToolCallPart: (part) => calls.set(part.toolCallId, part),
    onToolResultPart: (part) => calls.delete(part.toolCallId),
    onFinishMessagePart: (part) => {
      reading.finish = part.finishReason;
      reading.usage = part.usage ?? null;
    },
    onErrorPart: (text) => {
      throw new Error(text);
    },
  });
  reading.tool_calls = [...calls.values()].map((part) => toolCall(part.toolCallId, part.toolName, part.args));
  if (reading.finish === null) throw new Error("no finish");
}

// --- AG-UI

async function readAgUi(call, reading) {
  const { messages = [{ id: "u1", role: "user", content: "hi" }], tools = [], ...rest } = call.options;
  const agent = new HttpAgent({ url: `${call.base_url}/ag-ui`, threadId: "t1", initialMessages: messages });
  const results = new Set();
  let result = null;
  await agent.runAgent(
    { runId: "r1", tools, forwardedProps: { model: call.model, ...rest } },
    {
      onRunErrorEvent: ({ event }) => reading.fail(new Error(event.message)),
      onRunFinishedEvent: ({ event }) => (result = event),
      onToolCallResultEvent: ({ event }) => void results.add(event.toolCallId),
    },
  );
  reading.message = agent.messages.slice(messages.length);
  for (const message of reading.message) {
    if (message.role === "assistant") reading.text += message.content ?? "";
    if (message.role === "reasoning") reading.reasoning += message.content;
    for (const { id, function: made } of message.toolCalls ?? [])
      if (!results.has(id)) reading.tool_calls.push(toolCall(id, made.name, made.arguments));
  }
  reading.finish = result?.result?.finishReason ?? null;
  reading.usage = result?.usage?.[0] ?? null;
  if (result === null && reading.error === null) throw new Error("no RUN_FINISHED");
}

export const READERS = {
  "ai7-ui": readUi(ai7),
  "ai6-ui": readUi(ai6),
  "ai5-ui": readUi(ai5),
  "ai7-ui-resume": resume,
  "ai4-data": readDataStream,
  "ai7-text": readText(ai7),
  "ai5-text": readText(ai5),
  "ag-ui-js": readAgUi,
};
