// How to reach this proxy from code. `base` is its address, `model` what is chosen above.

export const SNIPPETS = {
  curl: (base) => `curl -N ${base}/chat \\
  -H 'content-type: application/json' \\
  -d '{"prompt": "Hello"}'`,

  EventSource: (base) => `const source = new EventSource("${base}/chat?prompt=Hello");
source.onmessage = ({ data }) => {
  if (data === "[DONE]") return source.close();
  document.body.append(JSON.parse(data).text);
};`,

  "OpenAI, Python": (base, model) => `from openai import OpenAI

client = OpenAI(base_url="${base}/v1", api_key="none")
stream = client.chat.completions.create(
    model="${model}",
    messages=[{"role": "user", "content": "Hello"}],
    stream=True,
)
for chunk in stream:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)`,

  "OpenAI, JS": (base, model) => `import OpenAI from "openai";

const client = new OpenAI({ baseURL: "${base}/v1", apiKey: "none" });
const stream = await client.responses.create({ model: "${model}", input: "Hello", stream: true });
for await (const event of stream) {
  if (event.type === "response.output_text.delta") process.stdout.write(event.delta);
}`,

  "Anthropic, Python": (base, model) => `from anthropic import Anthropic

client = Anthropic(base_url="${base}", api_key="none")
with client.messages.stream(
    model="${model}",
    max_tokens=1000,
    messages=[{"role": "user", "content": "Hello"}],
) as stream:
    for text in stream.text_stream:
        print(text, end="", flush=True)`,

  "Gemini, Python": (base, model) => `from google import genai

client = genai.Client(api_key="none", http_options={"base_url": "${base}"})
for chunk in client.models.generate_content_stream(model="${model}", contents="Hello"):
    print(chunk.text or "", end="", flush=True)`,

  "Claude Code": (base, model) => `ANTHROPIC_BASE_URL=${base} ANTHROPIC_AUTH_TOKEN=none \\
  claude --model ${model}`,
};
