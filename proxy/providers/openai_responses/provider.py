"""The provider kind `openai_responses`: OpenAI's Responses API, and every server that speaks it (Azure, xAI, DeepSeek,
OpenRouter, LM Studio, Bedrock Mantle).

Reference: platform.openai.com/docs/api-reference/responses; types of openai-python 3.54.0. Requests are written by
`request`, streams are read by `stream`.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from proxy.framing.sse import SseSplitter
from proxy.hub.carried import MARK
from proxy.hub.codec import StreamDecoder
from proxy.hub.completion import Completion, fold
from proxy.hub.errors import CallerError, ErrorKind, UpstreamError, UpstreamProtocolError, kind_of_status
from proxy.hub.request import ChatRequest
from proxy.hub.transcode import Splitter
from proxy.providers.base import NativeCall, Target, UpstreamRequest
from proxy.providers.openai_responses import wire
from proxy.providers.openai_responses.errors import fault_of
from proxy.providers.openai_responses.request import PATH, encode_request
from proxy.providers.openai_responses.stream import FAILED_MESSAGE, FAILED_STATUS, Answer, ResponsesDecoder

COUNT_PATH: Final = "/responses/input_tokens"

FORWARDED_HEADERS: Final = frozenset(
    {
        "accept",
        "conversation_id",
        "idempotency-key",
        "openai-beta",
        "originator",
        "session-id",
        "session_id",
        "thread-id",
        "x-client-request-id",
    }
)
"""What a caller of the same API may say to the provider; credentials and what names an account stay out."""
FORWARDED_PREFIX: Final = "x-codex-"

PASSED_HEADERS: Final = frozenset({"retry-after", "retry-after-ms", "x-should-retry"})
PASSED_PREFIX: Final = "x-ratelimit-"


class OpenAIResponses:
    """See `providers.base.Provider`."""

    kind = "openai_responses"
    native_dialect = "openai_responses"
    stream_content_types = ("text/event-stream",)

    def encode_request(self, request: ChatRequest, target: Target) -> UpstreamRequest:
        return encode_request(request, target)

    def splice_request(self, call: NativeCall, target: Target) -> UpstreamRequest:
        """The caller's body with the target's model, and without reasoning that another API signed (`hub.carried`)."""
        dropped: tuple[str, ...] = ()
        fields = _fields(call.body)
        if MARK.encode() in call.body:
            dropped = _without_carried(fields)
        if "model" in fields or call.operation == "generate":
            fields["model"] = msgspec.Raw(msgspec.json.encode(target.model))
        return UpstreamRequest(
            COUNT_PATH if call.operation == "count_tokens" else PATH,
            msgspec.json.encode(fields),
            {"content-type": "application/json"}
            | {name: value for name, value in call.headers.items() if _is_forwarded(name)},
            dropped,
        )

    def decoder(self, target: Target) -> StreamDecoder:
        return ResponsesDecoder(target)

    def splitter(self, target: Target) -> Splitter:
        return SseSplitter(target.max_frame_bytes)

    def is_terminator(self, data: bytes) -> bool:
        # In text that quotes one of these, the closing quote is escaped.
        return b'"response.completed"' in data or b'"response.incomplete"' in data

    def decode_completion(self, body: bytes, target: Target) -> Completion:
        response = wire.read(wire.RESPONSE, body, "the answer")
        status = response.status
        if status in FAILED_STATUS or (response.output is None and wire.is_given(response.error)):
            fault = fault_of(response.error if wire.is_given(response.error) else body, ErrorKind.UPSTREAM_FAILED)
            raise UpstreamError(fault.kind, fault.message or FAILED_MESSAGE, code=fault.code, param=fault.param)
        if response.output is None or status in ("queued", "in_progress"):
            raise UpstreamProtocolError(f"the answer is no finished response: its status is {status!r:.50}")
        answer = Answer()
        answer.conclude(response, "incomplete" if status == "incomplete" else "completed")
        return fold(answer.blocks.out)

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        fault = fault_of(body, kind_of_status(status))
        return UpstreamError(
            fault.kind,
            fault.message or f"The provider answered with status {status}.",
            status=status,
            param=fault.param,
            code=fault.code,
            retry_after_s=_retry_after_s(headers),
            headers={name: value for name, value in headers.items() if _is_passed(name)},
        )

    def auth_headers(self, key: str) -> Mapping[str, str]:
        return {"authorization": f"Bearer {key}"}


def _fields(body: bytes) -> dict[str, msgspec.Raw]:
    try:
        return wire.FIELDS.decode(body)
    except (ValueError, RecursionError) as fault:
        raise CallerError(ErrorKind.INVALID_REQUEST, "The body is no JSON object.") from fault


class _InputItem(msgspec.Struct, gc=False):
    type: str | None = None
    encrypted_content: str | None = None


_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])
_INPUT_ITEM = msgspec.json.Decoder(_InputItem)


def _without_carried(fields: dict[str, msgspec.Raw]) -> tuple[str, ...]:
    """Take reasoning that carries another API's proof out of `fields["input"]`; where each item stood."""
    try:
        items = _ITEMS.decode(fields.get("input", b""))
        foreign = [index for index, item in enumerate(items) if _is_carried(_INPUT_ITEM.decode(item))]
    except (ValueError, RecursionError):
        # The caller's own fault: the provider will say what is wrong.
        return ()
    if foreign:
        left = [item for index, item in enumerate(items) if index not in foreign]
        fields["input"] = msgspec.Raw(msgspec.json.encode(left))
    return tuple(f"input[{index}]: reasoning" for index in foreign)


def _is_carried(item: _InputItem) -> bool:
    return item.type == "reasoning" and (item.encrypted_content or "").startswith(MARK)


def _is_forwarded(name: str) -> bool:
    return name in FORWARDED_HEADERS or name.startswith(FORWARDED_PREFIX)


def _is_passed(name: str) -> bool:
    return name in PASSED_HEADERS or name.startswith(PASSED_PREFIX)


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from `retry-after-ms` or `retry-after`; `None` for a date, which needs a clock."""
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name, "")
        if value.replace(".", "", 1).isdecimal():
            return float(value) * scale
    return None
