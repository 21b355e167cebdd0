"""Real SDKs as readers, by dialect: a new one joins every suite by its line here."""

from typing import Any

import pytest

from tests.support import node
from tests.support.reader import Reader
from tests.support.readers import (
    anthropic,
    bedrock,
    canonical,
    cohere,
    gemini,
    javascript,
    ollama,
    openai_chat,
    openai_responses,
    ui_clients,
)

READERS: list[Reader] = [
    *openai_chat.READERS,
    *openai_responses.READERS,
    *anthropic.READERS,
    *gemini.READERS,
    *canonical.READERS,
    *javascript.READERS,
    *ollama.READERS,
    *ui_clients.READERS,
]

OWN_READER: dict[str, Reader] = {
    "openai_chat": openai_chat.READERS[0],
    "openai_responses": openai_responses.READERS[0],
    "anthropic": anthropic.READERS[0],
    "gemini": gemini.READERS[0],
    "ollama": ollama.READERS[0],
    "cohere": cohere.READERS[0],
    "bedrock": bedrock.READERS[0],
}
"""For each provider kind, the vendor's own SDK on its own stream: the measure of every conversion."""

OWN_WHOLE_READER: dict[str, Reader] = {
    "openai_chat": openai_chat.READERS[2],
    "openai_responses": openai_responses.READERS[2],
    "anthropic": anthropic.READERS[2],
    "gemini": gemini.READERS[1],
    "ollama": ollama.READERS[1],
    "cohere": cohere.READERS[1],
    "bedrock": bedrock.READERS[1],
}
"""The same for answers that are no stream."""


def readers_of(dialect: str, *, streams: bool) -> list[Reader]:
    return [reader for reader in READERS if reader.dialect == dialect and reader.streams == streams]


def reader_params(chosen: list[Reader]) -> list[Any]:
    """`chosen` as pytest parameters; those in JavaScript are skipped where Node or its packages are absent."""
    return [
        pytest.param(
            reader,
            id=reader.name,
            marks=pytest.mark.skipif(reader.needs_node and not node.is_ready(), reason=node.MISSING),
        )
        for reader in chosen
    ]
