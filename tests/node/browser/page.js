// A chat page as an app writes it: useChat of @ai-sdk/react, drawn by React. `window.chat` is the hook's latest value.
// The bundler replaces `use-chat` and `chat-sdk` by the version that is tested.
import { createElement as element } from "react";
import { createRoot } from "react-dom/client";
import { useChat } from "use-chat";
import { DefaultChatTransport, lastAssistantMessageIsCompleteWithToolCalls } from "chat-sdk";

const options = new URLSearchParams(location.search);

function Part({ part }) {
  const text = part.text ?? (part.type.startsWith("tool-") ? `${part.state} ${JSON.stringify(part.input ?? null)}` : "");
  return element("span", { "data-part": part.type }, text);
}

function Page() {
  const chat = useChat({
    id: "chat-1",
    resume: options.has("resume"),
    transport: new DefaultChatTransport({ api: options.get("api") }),
    sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithToolCalls,
    onToolCall({ toolCall }) {
      const done = { tool: toolCall.toolName, toolCallId: toolCall.toolCallId, output: { celsius: 21 } };
      (window.chat.addToolOutput ?? window.chat.addToolResult)(done);
    },
  });
  window.chat = chat;
  const messages = chat.messages.map((message) =>
    element("p", { key: message.id, "data-role": message.role }, ...message.parts.map((part, number) =>
      element(Part, { key: number, part }))));
  return element("main", { "data-status": chat.status, "data-error": chat.error?.message ?? "" }, ...messages);
}

createRoot(document.getElementById("root")).render(element(Page));
