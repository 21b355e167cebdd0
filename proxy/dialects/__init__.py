"""What callers speak: the registry of dialects, one line each."""

from proxy.dialects.base import Dialect
from proxy.dialects.openai_chat.dialect import OpenAIChatDialect
from proxy.dialects.openai_responses.dialect import OpenAIResponsesDialect

DIALECTS: dict[str, Dialect] = {
    "openai_chat": OpenAIChatDialect(),
    "openai_responses": OpenAIResponsesDialect(),
}
