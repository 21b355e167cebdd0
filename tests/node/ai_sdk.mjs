// The AI SDK (`ai`) with the providers that its users choose most: strict readers with parsers of their own.

import { createAnthropic } from "@ai-sdk/anthropic";
import { createGoogleGenerativeAI } from "@ai-sdk/google";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { streamText } from "ai";

globalThis.AI_SDK_LOG_WARNINGS = false;

const settings = (call) => ({ apiKey: "test-key", baseURL: `${call.base_url}/v1` });

const MODELS = {
  "ai-sdk-openai-chat": (call) => createOpenAI(settings(call)).chat(call.model),
  "ai-sdk-openai-compatible": (call) =>
    createOpenAICompatible({ name: "proxy", includeUsage: true, ...settings(call) })(call.model),
  "ai-sdk-openai-responses": (call) => createOpenAI(settings(call)).responses(call.model),
  "ai-sdk-anthropic": (call) => createAnthropic(settings(call))(call.model),
  "ai-sdk-google": (call) =>
    createGoogleGenerativeAI({ apiKey: "test-key", baseURL: `${call.base_url}/v1beta` })(call.model),
};

async function read(call, reading) {
  const model = MODELS[call.reader](call);
  const result = streamText({ model, prompt: "hi", maxRetries: 0, onError: () => {}, ...call.options });
  for await (const part of result.fullStream) addPart(reading, part);
}

function addPart(reading, part) {
  switch (part.type) {
    case "text-delta":
      reading.text += part.text;
      break;
    case "reasoning-delta":
      reading.reasoning += part.text;
      break;
    case "tool-call":
      if (!part.providerExecuted) reading.tool_calls.push(toolCall(part));
      break;
    case "finish-step":
      reading.finish = part.finishReason;
      reading.usage = part.usage;
      break;
    case "error":
      reading.fail(part.error);
  }
}

const toolCall = (part) => ({ id: part.toolCallId, name: part.toolName, arguments: JSON.stringify(part.input) });

export const READERS = Object.fromEntries(Object.keys(MODELS).map((name) => [name, read]));
