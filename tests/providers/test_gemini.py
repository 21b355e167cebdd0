"""The provider kind `gemini` as a whole, and what its small modules know of names and models."""

import json
import random

import pytest

from proxy.hub.errors import CallerError
from proxy.hub.identifiers import read_back
from proxy.providers import PROVIDERS
from proxy.providers.base import Target
from proxy.providers.gemini.dropped import Dropped
from proxy.providers.gemini.models import NEWEST, WITHOUT_THINKING, Generation, generation
from proxy.providers.gemini.names import sendable
from proxy.providers.gemini.provider import Gemini
from tests.support.corpus import Recording, params, recordings
from tests.support.gemini_api import chunk, sse

TARGET = Target("google", "m")


def test_the_kind_is_registered_and_speaks_its_own_dialect() -> None:
    provider = PROVIDERS["gemini"]

    assert isinstance(provider, Gemini)
    assert (provider.kind, provider.native_dialect) == ("gemini", "gemini")
    assert provider.stream_content_types == ("text/event-stream",)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (sse(chunk({"text": "a"}, finish="STOP")), True),
        (sse({"promptFeedback": {"blockReason": "SAFETY"}}), True),
        (sse(chunk({"text": 'say "finishReason" and "blockReason"'})), False),
    ],
)
def test_a_look_at_raw_bytes_tells_the_end(data: bytes, expected: bool) -> None:
    assert Gemini().is_terminator(data) is expected


@pytest.mark.parametrize(
    "recording",
    params(recordings(dialect="gemini", ok=True, where=lambda one: one.is_stream or one.is_array_stream)),
)
def test_the_splitter_gives_whole_responses_only(recording: Recording) -> None:
    chance = random.Random(2)
    body = b"\r\n" + recording.response
    splitter = PROVIDERS["gemini"].splitter(TARGET)
    given_out = b""
    position = 0

    while position < len(body):
        size = chance.randrange(1, 400)
        given_out += splitter.feed(body[position : position + size])
        position += size
        if recording.is_array_stream and given_out:
            assert json.loads(given_out + b"]"), "the end of the array waits for the end of the body"
        elif given_out:
            assert given_out.endswith(b"\r\n\r\n")

    assert given_out + splitter.finish() == body


def test_a_splitter_that_saw_nothing_gives_nothing() -> None:
    splitter = PROVIDERS["gemini"].splitter(TARGET)

    assert splitter.feed(b" \r\n") == b""
    assert splitter.finish() == b" \r\n"


@pytest.mark.parametrize(
    ("model", "version"),
    [
        ("gemini-2.5-flash-lite", (2, 5)),
        ("gemini-3-pro-preview", (3, 0)),
        ("gemini-3.1-pro-preview", (3, 1)),
        ("models/gemini-1.5-pro-002", (1, 5)),
        ("gemini-10", (10, 0)),
        ("gemini-flash-latest", NEWEST),
        ("tunedModels/my-gemini-thing", NEWEST),
        ("gemma-3-27b-it", WITHOUT_THINKING),
        ("learnlm-2.0", WITHOUT_THINKING),
    ],
)
def test_a_name_states_its_generation(model: str, version: Generation) -> None:
    assert generation(model) == version


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("get_weather", "get_weather"),
        ("default_api:weather", "default_api:weather"),
        ("server.tool-1", "server.tool-1"),
        ("3d", "_x33_d"),
        ("-x", "_x2d_x"),
        ("größe", "gr_xf6__xdf_e"),
        ("_x33_d", "_x5f_x33_d"),
    ],
)
def test_function_names_can_be_sent_and_read_back(name: str, sent: str) -> None:
    assert sendable(name, "p") == sent
    assert read_back(sent) == name


@pytest.mark.parametrize("name", ["", "x" * 129])
def test_a_name_that_cannot_be_sent_is_refused(name: str) -> None:
    with pytest.raises(CallerError) as caught:
        sendable(name, "tools[0].name")

    assert caught.value.param == "tools[0].name"


def test_dropped_names_come_once_and_in_order() -> None:
    dropped = Dropped()

    for name, condition in (("b", 1), ("a", [0]), ("b", "x"), ("c", ""), ("d", None)):
        dropped.add_if(condition, name)

    assert dropped.names() == ("b", "a")
