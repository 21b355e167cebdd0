"""Model lists, in the shape that the asking SDK reads: OpenAI, Anthropic and Gemini share `GET /v1/models`.

Ollama has a path of its own, `GET /ollama/api/tags`.

Told apart by what each SDK always sends (wire-formats: recorded calls): `anthropic-version`, `x-goog-api-key` or
`x-goog-api-client` or `?key=`; everybody else gets OpenAI's list.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec
from aiohttp import web
from aiohttp.web_request import BaseRequest

from proxy.dialects import DIALECTS
from proxy.hub.errors import ProxyError
from proxy.server.answers import error_answer, json_answer
from proxy.server.gateway import Gateway, lower_headers, request_id_of

_CREATED = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
"""Configured models have no birthday; SDKs want one."""


def list_dialect(path: str, headers: Mapping[str, str], query: Mapping[str, str]) -> str:
    """The dialect whose list shape the caller reads."""
    if path.startswith("/ollama"):
        return "ollama"
    if path.startswith(("/v1beta", "/gemini")) or "key" in query:
        return "gemini"
    if path.startswith("/anthropic") or "anthropic-version" in headers:
        return "anthropic"
    if "x-goog-api-key" in headers or "x-goog-api-client" in headers:
        return "gemini"
    return "openai_chat"


async def answer_models(gateway: Gateway, request: BaseRequest, values: Mapping[str, str]) -> web.StreamResponse:
    """The list of models that the caller may use, or one of them when the path names it."""
    headers = lower_headers(request)
    shape = list_dialect(request.path, headers, request.query)
    snapshot = gateway.snapshot
    request_id = request_id_of(request)
    answer_headers = {"x-request-id": request_id}
    try:
        caller = snapshot.auth.authenticate(headers, request.query)
        names = snapshot.router.models_visible_to(caller)
        wanted = values.get("model")
        if wanted is None:
            return json_answer(encode_list(shape, names), headers=answer_headers)
        name = wanted.removeprefix("models/")
        snapshot.router.resolve(name, caller)
        return json_answer(msgspec.json.encode(_ENTRY[shape](name)), headers=answer_headers)
    except ProxyError as error:
        dialect = DIALECTS.get(shape, DIALECTS["openai_chat"])
        return error_answer(error, dialect, request_id)


def encode_list(shape: str, names: list[str]) -> bytes:
    """The list as JSON. A name pattern stands for itself: no SDK minds, and a person sees what is served."""
    entries = [_ENTRY[shape](name) for name in names]
    match shape:
        case "gemini":
            return msgspec.json.encode({"models": entries})
        case "anthropic":
            first = names[0] if names else None
            last = names[-1] if names else None
            return msgspec.json.encode({"data": entries, "has_more": False, "first_id": first, "last_id": last})
        case "ollama":
            return msgspec.json.encode({"models": entries})
        case _:
            return msgspec.json.encode({"object": "list", "data": entries})


def _openai_entry(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": _CREATED, "owned_by": "llm-stream-proxy"}


def _anthropic_entry(name: str) -> dict[str, object]:
    created = datetime.fromtimestamp(_CREATED, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"type": "model", "id": name, "display_name": name, "created_at": created, "lifecycle": "active"}


def _gemini_entry(name: str) -> dict[str, object]:
    methods = ["generateContent", "streamGenerateContent", "countTokens"]
    return {"name": f"models/{name}", "displayName": name, "supportedGenerationMethods": methods}


def _ollama_entry(name: str) -> dict[str, object]:
    modified = datetime.fromtimestamp(_CREATED, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    # Clients print these; a model behind a proxy is no file here.
    return {"name": name, "model": name, "modified_at": modified, "size": 0, "digest": "", "details": {}}


_ENTRY = {
    "openai_chat": _openai_entry,
    "anthropic": _anthropic_entry,
    "gemini": _gemini_entry,
    "ollama": _ollama_entry,
}
