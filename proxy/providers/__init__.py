"""What upstreams speak: the registry of provider kinds, one line each."""

from proxy.providers.anthropic.provider import AnthropicProvider
from proxy.providers.base import Provider
from proxy.providers.bedrock.provider import Bedrock
from proxy.providers.cohere.provider import Cohere
from proxy.providers.gemini.provider import Gemini
from proxy.providers.ollama.provider import Ollama
from proxy.providers.openai_chat.provider import OpenAIChat
from proxy.providers.openai_responses.provider import OpenAIResponses
from proxy.providers.vertex.provider import Vertex

PROVIDERS: dict[str, Provider] = {
    "anthropic": AnthropicProvider(),
    "bedrock": Bedrock(),
    "cohere": Cohere(),
    "gemini": Gemini(),
    "ollama": Ollama(),
    "openai_chat": OpenAIChat(),
    "openai_responses": OpenAIResponses(),
    "vertex": Vertex(gemini=Gemini(), anthropic=AnthropicProvider()),
}
