// Reads one call per line on stdin, makes it with a real SDK, and writes one reading per line on stdout.
//
//   {"id": 1, "reader": "openai-js", "base_url": "http://127.0.0.1:1", "model": "m", "options": {}}
//   {"id": 1, "reading": {"text": "…", "tool_calls": [{"id": "…", "name": "…", "arguments": "…"}], "usage": {…}, …}}
//
// Words and numbers stay the SDK's own; tests/support/node.py brings them to common terms. Calls run concurrently.

import { createInterface } from "node:readline";

import { ReadSoFar } from "./reading.mjs";
import * as aiSdk from "./ai_sdk.mjs";
import * as anthropic from "./anthropic.mjs";
import * as gemini from "./gemini.mjs";
import * as openaiChat from "./openai_chat.mjs";
import * as openaiResponses from "./openai_responses.mjs";
import * as uiClients from "./ui_clients.mjs";

const CLIENTS = [aiSdk, anthropic, gemini, openaiChat, openaiResponses, uiClients];
const READERS = Object.assign({}, ...CLIENTS.map((one) => one.READERS));

async function answer(call) {
  const reading = new ReadSoFar();
  try {
    await READERS[call.reader](call, reading);
  } catch (fault) {
    reading.fail(fault);
  }
  process.stdout.write(JSON.stringify({ id: call.id, reading }) + "\n");
}

createInterface({ input: process.stdin }).on("line", (line) => answer(JSON.parse(line)));
