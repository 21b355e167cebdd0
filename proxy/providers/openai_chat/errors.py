"""What an OpenAI-compatible API says when it fails: with a status, or in the middle of a stream.

Shapes seen: `{"error": {message, type, param, code}}` (OpenAI; OpenRouter with a numeric code and metadata), `{"error": "…"}`
(Ollama and others), `{"object": "error", "message": …}` (vLLM, Mistral), `{"detail": "…" | [{loc, msg}]}` (FastAPI),
`x_groq.error`, `{"errors": [{code, message}]}` (watsonx), `{"error_type", "error_message"}` (DeepInfra), `{"base_resp":
{status_code, status_msg}}` (MiniMax, with status 200 as well), and each of them inside an array (Gemini's compatible
endpoint).
"""

import re
from collections.abc import Mapping

import msgspec

from proxy.hub.errors import ErrorKind, UpstreamError, kind_of_status
from proxy.hub.events import StreamError
from proxy.hub.json_text import mended
from proxy.providers.openai_chat.wire import JsonObject, Loose, Raw

MAX_MESSAGE_CHARS = 2000

KIND_BY_WORD: dict[str, ErrorKind] = {
    "context_length_exceeded": ErrorKind.CONTEXT_TOO_LONG,
    "model_max_prompt_tokens_exceeded": ErrorKind.CONTEXT_TOO_LONG,
    "too_many_prompt_tokens": ErrorKind.CONTEXT_TOO_LONG,
    "content_filter": ErrorKind.CONTENT_REJECTED,
    "content_policy_violation": ErrorKind.CONTENT_REJECTED,
    "responsibleaipolicyviolation": ErrorKind.CONTENT_REJECTED,
    "data_inspection_failed": ErrorKind.CONTENT_REJECTED,
    "invalid_api_key": ErrorKind.AUTHENTICATION,
    "authentication_error": ErrorKind.AUTHENTICATION,
    "insufficient_quota": ErrorKind.BILLING,
    "billing_error": ErrorKind.BILLING,
    "billing_hard_limit_reached": ErrorKind.BILLING,
    "billing_not_active": ErrorKind.BILLING,
    "exceeded_current_quota_error": ErrorKind.BILLING,
    "permission_error": ErrorKind.PERMISSION,
    "permission_denied_error": ErrorKind.PERMISSION,
    "model_not_found": ErrorKind.NOT_FOUND,
    "not_found_error": ErrorKind.NOT_FOUND,
    "deploymentnotfound": ErrorKind.NOT_FOUND,
    "rate_limit_exceeded": ErrorKind.RATE_LIMIT,
    "rate_limit_error": ErrorKind.RATE_LIMIT,
    "rate_limit_reached_error": ErrorKind.RATE_LIMIT,
    "ratelimitreached": ErrorKind.RATE_LIMIT,
    "too_many_requests": ErrorKind.RATE_LIMIT,
    "slow_down": ErrorKind.RATE_LIMIT,
    "server_is_overloaded": ErrorKind.OVERLOADED,
    "service_unavailable_error": ErrorKind.OVERLOADED,
    "overloaded_error": ErrorKind.OVERLOADED,
    "engine_overloaded_error": ErrorKind.OVERLOADED,
    "insufficient_system_resource": ErrorKind.OVERLOADED,
    "timeout": ErrorKind.TIMEOUT,
    "timeout_error": ErrorKind.TIMEOUT,
    "server_error": ErrorKind.UPSTREAM_FAILED,
    "internal_server_error": ErrorKind.UPSTREAM_FAILED,
    "api_error": ErrorKind.UPSTREAM_FAILED,
    "invalid_request_error": ErrorKind.INVALID_REQUEST,
    "badrequesterror": ErrorKind.INVALID_REQUEST,
    "insufficient_balance_error": ErrorKind.BILLING,
    "arrearage": ErrorKind.BILLING,
    "accountoverdueerror": ErrorKind.BILLING,
    "invalidapikey": ErrorKind.AUTHENTICATION,
    "authenticationerror": ErrorKind.AUTHENTICATION,
    "datainspectionfailed": ErrorKind.CONTENT_REJECTED,
    "sensitivecontentdetected": ErrorKind.CONTENT_REJECTED,
    "1113": ErrorKind.BILLING,
    "1261": ErrorKind.CONTEXT_TOO_LONG,
    "1301": ErrorKind.CONTENT_REJECTED,
}
"""Meaning of an error's `code` or `type`, in lower case. Words not listed mean what the status says.
From `insufficient_balance_error` on: MiniMax, Alibaba, Volcengine, Z.ai."""

WORD_BY_STATUS_CODE: dict[str, str] = {
    "1002": "rate_limit_error",
    "1004": "authentication_error",
    "1008": "insufficient_balance_error",
    "1026": "content_filter",
    "1027": "content_filter",
    "1039": "rate_limit_error",
    "2013": "invalid_request_error",
}
"""MiniMax's `base_resp.status_code`. Others: UPSTREAM_FAILED."""

_VAGUE = frozenset({ErrorKind.INVALID_REQUEST, ErrorKind.UPSTREAM_FAILED})
"""Meanings that a status or a better word overrules."""

_CONTEXT_WORDS = re.compile(
    r"context.?(length|window|size|limit)|prompt (is )?too long|too many (input |prompt )?tokens|messages is too long"
    r"|maximum (number of )?(input |prompt )?tokens|max input token|input (token )?length (is |should be |too )"
    r"|(model|prompt) tokens? limit|inputs?`? tokens \+",
    re.IGNORECASE,
)
"""How vendors without a code say that a prompt is too long (recordings of OpenRouter, Ollama, Perplexity; the words of
Anthropic behind a gateway, Moonshot, Alibaba, Baidu, GitHub Models, Text Generation Inference)."""

_UNSPECIFIC = "Provider returned error"
"""OpenRouter's message when `metadata.raw` holds the words of the provider behind it."""


class Fault(msgspec.Struct, frozen=True):
    """One error as the provider put it."""

    message: str = ""
    type: str = ""
    code: str = ""
    param: str | None = None
    status: int = 0
    """A status inside the error; 0: none."""


_LOOSE: msgspec.json.Decoder[Loose] = msgspec.json.Decoder(Loose)


def decode_error(status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
    """What an answer with a status of 400 or more means. Never raises."""
    fault = _find(_read(body)) or Fault()
    return UpstreamError(
        _kind(fault, status),
        fault.message or f"The provider answered with status {status}.",
        status=status,
        param=fault.param,
        code=_code(fault),
        retry_after_s=_retry_after_s(headers),
        headers={name: value for name, value in headers.items() if _is_passed_on(name)},
    )


def stream_error(error: Loose) -> StreamError | None:
    """The error event that `error` is; `None` for what is none: null, `{}`, false."""
    fault = _fault_of(error)
    return None if fault is None else _event(fault)


def error_in(payload: bytes, is_surely_one: bool) -> StreamError | None:
    """The error that `payload` is as a whole, where it has no `error` field: vLLM's and FastAPI's shapes.

    Unless it surely is one, it takes a message to be an error: a ping has none.
    """
    fault = _find(_read(payload))
    if fault is None and is_surely_one:
        fault = Fault()
    if fault is None or not (fault.message or is_surely_one):
        return None
    return _event(fault)


def _event(fault: Fault) -> StreamError:
    return StreamError(_kind(fault, fault.status), fault.message or "The provider reported an error.", _code(fault))


# --- reading


def _read(body: bytes) -> Loose:
    try:
        return _LOOSE.decode(mended(body))
    except (ValueError, RecursionError):
        return None


def _find(found: Loose) -> Fault | None:
    """The fault in a body: behind `error`, or the body itself."""
    if isinstance(found, list) and found:
        found = _read(bytes(found[0]))
    if not isinstance(found, dict):
        return None
    for inner in (_value(found, "error"), _first(_value(found, "errors")), _value(found, "base_resp")):
        if (fault := _fault_of(inner)) is not None:
            return fault
    return _fault_of(found)


def _first(found: Loose) -> Loose:
    return _read(bytes(found[0])) if isinstance(found, list) and found else None


def _fault_of(error: Loose) -> Fault | None:
    if isinstance(error, str) and error:
        return Fault(error[:MAX_MESSAGE_CHARS])
    if not isinstance(error, dict) or not error:
        return None
    status_code = _word(error, "status_code")
    if status_code == "0":
        # MiniMax: nothing went wrong.
        return None
    fault = Fault(
        message=_message(error)[:MAX_MESSAGE_CHARS],
        type=_word(error, "type") or _word(error, "error_type") or WORD_BY_STATUS_CODE.get(status_code, ""),
        code=_word(error, "code") or _word(error, "error_code") or ("" if len(status_code) == 3 else status_code),
        param=_word(error, "param") or None,
        status=_status(error),
    )
    return fault if fault.message or fault.type or fault.code else None


def _message(error: JsonObject) -> str:
    message = _value(error, "message")
    for name in ("detail", "error_message", "status_msg", "error_msg", "msg"):
        message = _value(error, name) if message is None else message
    if isinstance(message, list):
        return "; ".join(_complaint(entry) for entry in message)
    if isinstance(message, dict):
        return _word(message, "message") or msgspec.json.encode(message).decode("utf-8", "replace")
    text = message if isinstance(message, str) else ""
    if text == _UNSPECIFIC:
        metadata = _value(error, "metadata")
        behind = _word(metadata, "raw") if isinstance(metadata, dict) else ""
        return f"{text}: {behind}" if behind else text
    return text


def _complaint(entry: Raw) -> str:
    """One entry of FastAPI's list: where, and what."""
    found = _read(bytes(entry))
    if not isinstance(found, dict):
        return found if isinstance(found, str) else ""
    place = _value(found, "loc")
    where = ".".join(str(_read(bytes(step))) for step in place) if isinstance(place, list) else ""
    return ": ".join(part for part in (where, _word(found, "msg")) if part)


def _value(found: JsonObject, name: str) -> Loose:
    raw = found.get(name)
    return None if raw is None else _read(bytes(raw))


def _word(found: JsonObject, name: str) -> str:
    """A field that should be a string and is sometimes a number; empty for anything else."""
    value = _value(found, name)
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def _status(error: JsonObject) -> int:
    """The status that stands in the error: as `code` (OpenRouter, vLLM) or `status_code` (Groq)."""
    for name in ("code", "status_code"):
        word = _word(error, name)
        if word.isdecimal() and len(word) == 3 and "400" <= word <= "599":
            return int(word)
    return 0


# --- meaning


def _kind(fault: Fault, status: int) -> ErrorKind:
    """A clear word wins over the status, the status over a vague word."""
    by_word = [KIND_BY_WORD.get(word.lower()) for word in (fault.code, fault.type)]
    kind = next((kind for kind in by_word if kind is not None and kind not in _VAGUE), None)
    if kind is None and status:
        kind = kind_of_status(status)
    if kind is None:
        kind = next((kind for kind in by_word if kind is not None), ErrorKind.UPSTREAM_FAILED)
    if kind in (ErrorKind.INVALID_REQUEST, ErrorKind.TOO_LARGE) and _CONTEXT_WORDS.search(fault.message):
        return ErrorKind.CONTEXT_TOO_LONG
    return kind


def _code(fault: Fault) -> str | None:
    return fault.code or fault.type or None


def _is_passed_on(name: str) -> bool:
    return name.startswith(("x-ratelimit-", "retry-after")) or name == "x-should-retry"


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, if the headers give a number. A date would need a clock; the header itself is passed on."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            delay = float(headers[name]) * unit
        except (KeyError, ValueError):
            continue
        if 0 <= delay < float("inf"):
            return delay
    return None
