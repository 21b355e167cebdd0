"""What callers speak: the registry of dialects, one line each."""

from proxy.dialects.base import Dialect
from proxy.dialects.canonical import CanonicalDialect
from proxy.dialects.openai_chat.dialect import OpenAIChatDialect
from proxy.dialects.openai_chat.request import decode_request as decode_chat_request
from proxy.dialects.openai_responses.dialect import OpenAIResponsesDialect

DIALECTS: dict[str, Dialect] = {
    "canonical": CanonicalDialect(read_chat=decode_chat_request),
    "openai_chat": OpenAIChatDialect(),
    "openai_responses": OpenAIResponsesDialect(),
}
