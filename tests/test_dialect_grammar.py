"""The checkers of caller streams: they must pass what every SDK takes and name what some SDK stumbles over."""

from pathlib import Path

import pytest

from tests.support.corpus import Recording, params, recordings
from tests.support.dialect_grammar import CHECKS, LINES, SUCCESS, breaches, has_success_ending

FIXTURES = Path(__file__).parent / "fixtures/grammar"

VENDORS = {("anthropic", "anthropic"), ("google", "gemini"), ("openai", "openai_chat"), ("openai", "openai_responses")}
"""Vendors whose own streams define a dialect."""

UNUSUAL = ("background-mode", "multiple-choices", "openai-moderation", "programmatic-tool-calling")
"""Parts of recording names: features that no conversion produces (queues, two choices, moderation, several answers)."""


def fixtures(folder: str) -> list[Path]:
    return sorted((FIXTURES / folder).glob("*/*.sse"))


def name(file: Path) -> str:
    return f"{file.parent.name}/{file.stem}"


@pytest.mark.parametrize("file", fixtures("good"), ids=name)
def test_streams_that_every_sdk_takes_have_no_breach(file: Path) -> None:
    assert breaches(file.parent.name, file.read_bytes()) == []


@pytest.mark.parametrize("file", fixtures("bad"), ids=name)
def test_streams_that_some_sdk_stumbles_over_have_one(file: Path) -> None:
    assert breaches(file.parent.name, file.read_bytes()) != []


@pytest.mark.parametrize("file", fixtures("good"), ids=name)
def test_success_is_told_from_failure(file: Path) -> None:
    is_failure = file.stem in ("mid-stream-error", "failed")

    assert has_success_ending(file.parent.name, file.read_bytes()) != is_failure


@pytest.mark.parametrize("file", fixtures("good"), ids=name)
def test_no_prefix_of_a_stream_is_both_without_breach_and_incomplete(file: Path) -> None:
    """A checker that accepted a cut stream would prove nothing about cuts."""
    dialect, body = file.parent.name, file.read_bytes()
    end = body.rindex(b"data: ")

    for length in range(0, end, 7):
        assert breaches(dialect, body[:length]) != [], length


@pytest.mark.parametrize(
    "recording",
    params(
        recordings(
            stream=True,
            ok=True,
            where=lambda one: (
                one.is_truly_framed
                and (one.provider, one.kind) in VENDORS
                and "error_midstream" not in one.features
                and not any(part in one.name for part in UNUSUAL)
            ),
        )
    ),
)
def test_streams_of_the_vendors_themselves_have_no_breach(recording: Recording) -> None:
    assert recording.kind is not None
    body = recording.response.replace(b"\r\n", b"\n")

    assert breaches(recording.kind, body) == []
    assert has_success_ending(recording.kind, body)


def test_every_dialect_has_all_its_tables() -> None:
    assert set(CHECKS) == set(LINES) == set(SUCCESS)
