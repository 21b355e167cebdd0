"""The provider kind `anthropic`: keys, terminators and frames."""

import json

import pytest

from proxy.providers.anthropic.provider import AnthropicProvider
from proxy.providers.base import Target
from tests.support.anthropic_api import Case, fixture, fixture_streams

TARGET = Target("anthropic", "m")
PROVIDER = AnthropicProvider()


def test_how_a_key_is_sent() -> None:
    assert PROVIDER.auth_headers("sk-ant-api03-x") == {"x-api-key": "sk-ant-api03-x"}
    assert PROVIDER.auth_headers("sk-ant-oat01-x") == {"authorization": "Bearer sk-ant-oat01-x"}


@pytest.mark.parametrize("case", fixture_streams(), ids=str)
def test_the_terminator_is_seen_in_raw_bytes(case: Case) -> None:
    assert PROVIDER.is_terminator(case.body) == (case.name not in ("odd-no-stop", "mid-stream-error"))


def test_the_word_of_the_terminator_in_a_text_is_none() -> None:
    said = json.dumps(
        {"type": "content_block_delta", "delta": {"text": '{"type":"message_stop"}\nevent: message_stop'}}
    )

    assert not PROVIDER.is_terminator(f"event: content_block_delta\ndata: {said}\n\n".encode())


def test_whole_frames_are_relayed() -> None:
    body = fixture("text")
    splitter = PROVIDER.splitter(TARGET)

    out = [splitter.feed(body[at : at + 50]) for at in range(0, len(body), 50)]

    assert b"".join(out) == body
    assert all(piece.endswith(b"\n\n") for piece in out if piece)
