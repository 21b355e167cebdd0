"""Which client stands behind each reader, in which version; and a reader for the dialect that has no SDK of its own."""

import importlib.metadata
from fnmatch import fnmatchcase

import aiohttp
import msgspec

from tests.support.agents import AGENTS, wanted
from tests.support.node import FOLDER
from tests.support.reader import DEADLINE_S, Call, Reader
from tests.support.readers import READERS
from tests.support.readings import Reading, failed

PACKAGES: dict[str, tuple[str, str]] = {
    "openai-python*": ("python", "openai"),
    "anthropic-python*": ("python", "anthropic"),
    "google-genai-python*": ("python", "google-genai"),
    "ollama-python*": ("python", "ollama"),
    "botocore*": ("python", "botocore"),
    "*-by-hand*": ("none", "a reader written for the tests"),
    "fetch*": ("python", "aiohttp"),
    "ollama-js*": ("javascript", "ollama"),
    "openai-js*": ("javascript", "openai"),
    "anthropic-js*": ("javascript", "@anthropic-ai/sdk"),
    "google-genai-js*": ("javascript", "@google/genai"),
    "ai-sdk-openai-compatible*": ("javascript", "@ai-sdk/openai-compatible"),
    "ai-sdk-openai-*": ("javascript", "@ai-sdk/openai"),
    "ai-sdk-anthropic*": ("javascript", "@ai-sdk/anthropic"),
    "ai-sdk-google*": ("javascript", "@ai-sdk/google"),
    "ai7-*": ("javascript", "ai"),
    "ai6-*": ("javascript", "ai6"),
    "ai5-*": ("javascript", "ai5"),
    "ai4-*": ("javascript", "@ai-sdk/ui-utils"),
    "ag-ui-js*": ("javascript", "@ag-ui/client"),
}
"""Language and package of readers, by a pattern of their names; the first that fits. Any other name is an error.

Language `none`: no package, the words are for the reader.
"""


async def _read_text(call: Call) -> Reading:
    """The text protocol is the text: a broken connection is its only error."""
    body = {"model": call.model, "prompt": "hi", **call.options}
    timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(f"{call.base_url}/ui/text/chat", json=body) as response,
        ):
            text = await response.text()
    except (aiohttp.ClientError, TimeoutError) as fault:
        return failed(Reading(), fault)
    if response.status != 200:
        return Reading(error=str(response.status), error_message=text)
    return Reading(text=text)


ALL_READERS = [*READERS, Reader("fetch-text", "text_stream", True, _read_text)]

TEXT_ALONE = frozenset({"text_stream"})
"""Dialects that say nothing but text."""


def client_of(reader: Reader) -> str:
    """`openai 3.54.0 (Python)`. Raises LookupError for a reader that `PACKAGES` does not know."""
    for pattern, (language, package) in PACKAGES.items():
        if fnmatchcase(reader.name, pattern):
            if language == "none":
                return package
            if language == "python":
                return f"{package} {importlib.metadata.version(package)} (Python)"
            return f"{_javascript_version(package)} (JavaScript)"
    raise LookupError(f"no package is known for the reader {reader.name}")


def _javascript_version(name: str) -> str:
    packages: dict[str, str] = msgspec.json.decode((FOLDER / "package.json").read_bytes())["dependencies"]
    asked = packages[name]
    if not asked.startswith("npm:"):
        return f"{name} {asked}"
    package, _, version = asked.removeprefix("npm:").rpartition("@")
    return f"{package} {version}"


def clients_of(dialect: str) -> list[str]:
    """Without repetition, in the order of the readers."""
    return list(dict.fromkeys(client_of(one) for one in ALL_READERS if one.dialect == dialect))


def agents_of(dialect: str) -> list[str]:
    return [f"{agent.name} {wanted()[agent.package]}" for agent in AGENTS if agent.dialect == dialect]
