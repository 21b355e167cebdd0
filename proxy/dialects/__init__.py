"""What callers speak: the registry of dialects, one line each."""

from proxy.dialects.anthropic.dialect import AnthropicDialect
from proxy.dialects.base import Dialect
from proxy.dialects.canonical import CanonicalDialect
from proxy.dialects.gemini.dialect import GeminiDialect
from proxy.dialects.openai_chat.dialect import OpenAIChatDialect
from proxy.dialects.openai_chat.request import decode_request as decode_chat_request
from proxy.dialects.openai_responses.dialect import OpenAIResponsesDialect

DIALECTS: dict[str, Dialect] = {
    "anthropic": AnthropicDialect(),
    "canonical": CanonicalDialect(read_chat=decode_chat_request),
    "gemini": GeminiDialect(),
    "openai_chat": OpenAIChatDialect(),
    "openai_responses": OpenAIResponsesDialect(),
}
