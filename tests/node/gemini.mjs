// The official `@google/genai` package.

import { GoogleGenAI } from "@google/genai";

const client = (call) =>
  new GoogleGenAI({
    apiKey: "test-key",
    vertexai: false,
    httpOptions: { baseUrl: call.base_url, apiVersion: "v1beta", timeout: 30_000 },
  });

const request = (call) => ({ model: call.model, contents: "hi", ...call.options });

async function readStream(call, reading) {
  for await (const chunk of await client(call).models.generateContentStream(request(call))) add(reading, chunk);
  if (reading.finish === null) throw new Error("no finish reason");
}

async function readWhole(call, reading) {
  add(reading, await client(call).models.generateContent(request(call)));
}

function add(reading, chunk) {
  reading.usage = chunk.usageMetadata ?? reading.usage;
  if (chunk.promptFeedback?.blockReason) {
    reading.finish = "SAFETY";
    reading.refusal = chunk.promptFeedback.blockReasonMessage ?? "";
  }
  const candidate = chunk.candidates?.[0];
  reading.finish = candidate?.finishReason ?? reading.finish;
  for (const part of candidate?.content?.parts ?? []) {
    if (part.functionCall) {
      const { id, name, args } = part.functionCall;
      reading.tool_calls.push({ id: id ?? "", name, arguments: JSON.stringify(args ?? {}) });
    } else if (part.thought) reading.reasoning += part.text ?? "";
    else reading.text += part.text ?? "";
  }
}

export const READERS = { "google-genai-js": readStream, "google-genai-js-whole": readWhole };
