"""What callers speak: the registry of dialects, one line each."""

from proxy.dialects.ag_ui import AgUiDialect
from proxy.dialects.anthropic.dialect import AnthropicDialect
from proxy.dialects.base import Dialect
from proxy.dialects.canonical import CanonicalDialect
from proxy.dialects.data_stream import DataStreamDialect
from proxy.dialects.gemini.dialect import GeminiDialect
from proxy.dialects.ollama import OllamaDialect
from proxy.dialects.openai_chat.dialect import OpenAIChatDialect
from proxy.dialects.openai_chat.request import decode_request as decode_chat_request
from proxy.dialects.openai_responses.dialect import OpenAIResponsesDialect
from proxy.dialects.text_stream import TextStreamDialect
from proxy.dialects.ui_message_stream import UiMessageStreamDialect

DIALECTS: dict[str, Dialect] = {
    "ag_ui": AgUiDialect(read_chat=decode_chat_request),
    "anthropic": AnthropicDialect(),
    "canonical": CanonicalDialect(read_chat=decode_chat_request),
    "data_stream": DataStreamDialect(read_chat=decode_chat_request),
    "gemini": GeminiDialect(),
    "ollama": OllamaDialect(),
    "openai_chat": OpenAIChatDialect(),
    "openai_responses": OpenAIResponsesDialect(),
    "text_stream": TextStreamDialect(read_chat=decode_chat_request),
    "ui_message_stream": UiMessageStreamDialect(read_chat=decode_chat_request),
}
