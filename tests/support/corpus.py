"""Recordings of real providers, from a folder beside the project that not every checkout has.

`recordings(...)` selects them, `params(...)` makes them pytest parameters; without the folder there is one parameter
that is skipped with a reason.
"""

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.answers import HOP_BY_HOP, Answer, BodyEnd

ROOT = Path(__file__).parents[2]
CORPUS = ROOT / "../shared/corpus"
ABSENT = "recordings are absent: ../shared/corpus"
"""The one reason for which a test may be skipped everywhere."""

KIND = {
    "anthropic-messages": "anthropic",
    "bedrock-converse": "bedrock",
    "cohere": "cohere",
    "deepseek": "openai_chat",
    "gemini": "gemini",
    "groq": "openai_chat",
    "mistral": "openai_chat",
    "ollama": "ollama",
    "openai-chat": "openai_chat",
    "openai-compat": "openai_chat",
    "openai-responses": "openai_responses",
    "openrouter": "openai_chat",
    "perplexity": "openai_chat",
    "vllm": "openai_chat",
    "xai": "openai_chat",
}
"""The provider kind that speaks each recorded format."""

WITHOUT_KIND = {
    "bedrock-invoke": "InvokeModel carries other vendors' formats inside AWS frames",
    "gemini-interactions": "a newer Gemini API than generateContent",
    "openai-completions": "the API before Chat Completions",
}
"""Recorded formats that no provider kind speaks, and what they are."""

HAND_FRAMED = frozenset({"reconstructed", "sdk-objects", "raw-or-reformatted"})
"""Framings that a recorder or converter wrote: content can be trusted, pings, line ends and `[DONE]` cannot."""

OLDER_APIS = frozenset({("vllm", "/v1/completions"), ("cohere", "/v1/chat")})
"""Folder and path of exchanges with an API that came before the one that the folder's kind speaks."""

STREAM_FILES = ("response.sse", "response.ndjson", "response.bin")


@dataclass(frozen=True)
class Recording:
    """One exchange: what was asked and what a provider answered."""

    path: Path
    dialect: str
    """The recorded wire format: the folder's name."""
    provider: str
    model: str
    status: int
    content_type: str | None
    headers: dict[str, str]
    features: frozenset[str]
    framing: str

    def __str__(self) -> str:
        return self.name

    @property
    def name(self) -> str:
        """`openai-chat/azure__…`: folder and slug."""
        return f"{self.path.parent.name}/{self.path.name}"

    @property
    def kind(self) -> str | None:
        """The provider kind that speaks this format; `None`: see `WITHOUT_KIND` and `OLDER_APIS`."""
        path = self.request["path"] if self.request is not None else ""
        return None if (self.dialect, path) in OLDER_APIS else KIND.get(self.dialect)

    @functools.cached_property
    def response_file(self) -> Path:
        return next(self.path.glob("response.*"))

    @property
    def is_stream(self) -> bool:
        """Made of framed events."""
        return self.response_file.name in STREAM_FILES

    @property
    def is_array_stream(self) -> bool:
        """Gemini's stream without `alt=sse`: one JSON array that arrives piece by piece."""
        return "jsonarray_stream" in self.features

    @property
    def is_truly_framed(self) -> bool:
        """The bytes are the provider's own, framing included."""
        return self.framing not in HAND_FRAMED

    @functools.cached_property
    def response(self) -> bytes:
        return self.response_file.read_bytes()

    @functools.cached_property
    def request(self) -> dict[str, Any] | None:
        """The recorded request (method, host, path, headers, body), `None` where the source kept none."""
        file = self.path / "request.json"
        return msgspec.json.decode(file.read_bytes()) if file.exists() else None

    def answer(self, **changes: object) -> Answer:
        """The recording as a scripted answer: chunked when it is a stream."""
        headers = {name: value for name, value in self.headers.items() if name not in HOP_BY_HOP}
        if self.content_type is not None:
            headers["content-type"] = self.content_type
        end = BodyEnd.CHUNKED if self.is_stream else BodyEnd.LENGTH
        return Answer(self.status, tuple(headers.items()), self.response, body_end=end).but(**changes)


@functools.cache
def all_recordings() -> tuple[Recording, ...]:
    """Every recording, sorted by name; empty when the folder is absent."""
    return tuple(_load(meta) for meta in sorted(CORPUS.glob("*/*/meta.json")))


def _load(file: Path) -> Recording:
    meta = msgspec.json.decode(file.read_bytes())
    return Recording(
        path=file.parent,
        dialect=meta["dialect"],
        provider=meta["provider"],
        model=meta["model"] or "",
        status=meta["status"],
        content_type=meta["content_type"],
        headers={name.lower(): str(value) for name, value in meta["response_headers"].items()},
        features=frozenset(meta["features"]),
        framing=meta["framing"],
    )


def recordings(
    *,
    kind: str | None = None,
    dialect: str | None = None,
    stream: bool | None = None,
    ok: bool | None = None,
    where: Callable[[Recording], bool] = lambda recording: True,
) -> list[Recording]:
    """The recordings that fit; `ok` is a status below 400, `stream` leaves out streamed arrays either way."""
    return [
        recording
        for recording in all_recordings()
        if (kind is None or recording.kind == kind)
        and (dialect is None or recording.dialect == dialect)
        and (stream is None or (recording.is_stream == stream and not recording.is_array_stream))
        and (ok is None or (recording.status < 400) == ok)
        and where(recording)
    ]


def params(chosen: Iterable[Recording], *marks: pytest.MarkDecorator) -> list[Any]:
    """`chosen` as pytest parameters named after the recordings, or one skipped parameter without the folder."""
    found = [pytest.param(recording, id=recording.name, marks=marks) for recording in chosen]
    if found or all_recordings():
        return found
    return [pytest.param(None, id="absent", marks=pytest.mark.skip(reason=ABSENT))]
