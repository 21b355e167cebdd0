"""The response object: the snapshot in lifecycle events, and the whole answer of callers that did not ask for a stream.

Fields that only echo the request, which the encoder does not see, hold the API's defaults, because clients read them
without asking; nothing that the provider would have to tell is made up.
"""

from typing import Final

import msgspec

from proxy.dialects.base import StreamContext
from proxy.hub.errors import ErrorKind
from proxy.hub.events import FinishReason, Usage
from proxy.hub.request import FormatKind, ResponseFormat

JSON: Final = msgspec.json.Encoder()

NULL: Final = b"null"


class Outcome(msgspec.Struct, frozen=True):
    """How a finished answer is told: its status, and why it is incomplete."""

    status: str
    incomplete_reason: str | None = None


COMPLETED: Final = Outcome("completed")
OUTCOME: Final[dict[FinishReason, Outcome]] = {
    FinishReason.STOP: COMPLETED,
    FinishReason.STOP_SEQUENCE: COMPLETED,
    FinishReason.LENGTH: Outcome("incomplete", "max_output_tokens"),
    FinishReason.CONTEXT_FULL: Outcome("incomplete", "max_output_tokens"),
    FinishReason.TOOL_CALLS: COMPLETED,
    FinishReason.CONTENT_FILTER: Outcome("incomplete", "content_filter"),
    FinishReason.REFUSAL: COMPLETED,
    FinishReason.PAUSE: COMPLETED,
    FinishReason.MALFORMED_CALL: Outcome("failed"),
    FinishReason.OTHER: COMPLETED,
}
"""The API has no finish reason: tool calls and refusals are told by the items themselves."""

MALFORMED_CALL_MESSAGE: Final = "The model produced a tool call that cannot be read."

FAILED_CODE: Final[dict[ErrorKind, str]] = {
    ErrorKind.INVALID_REQUEST: "invalid_prompt",
    ErrorKind.CONTENT_REJECTED: "invalid_prompt",
}
"""`error.code` of a failed response where it differs from the code in a body. Others: the same code."""


class _TextFormat(msgspec.Struct, omit_defaults=True):
    type: str
    name: str | None = None
    description: str | None = None
    schema: msgspec.Raw | None = None
    strict: bool | None = None


SERVICE_TIERS: Final = frozenset({"auto", "default", "flex", "scale", "priority", "fast", "ultrafast"})
"""The API's words for how a request was served; a client may have a closed list of them."""


class ResponseWriter:
    """Writes the response object of one answer, again and again. `id` and `model` may be set until the first time."""

    def __init__(self, context: StreamContext) -> None:
        self.id = f"resp_{context.id}"
        self.model = context.model
        self._created = context.created
        self._format = _text_format(context.response_format)

    def write(
        self,
        status: str,
        output: bytes = b"",
        usage: Usage | None = None,
        error: bytes = NULL,
        incomplete_reason: str | None = None,
    ) -> bytes:
        """The object as JSON. `output`: the items, with commas between them; `error`: an object with code and message."""
        details = b'{"reason":%b}' % JSON.encode(incomplete_reason) if incomplete_reason is not None else NULL
        tier = usage.service_tier if usage is not None and usage.service_tier in SERVICE_TIERS else None
        return b"".join(
            (
                b'{"id":%b,"object":"response","created_at":%d,' % (JSON.encode(self.id), self._created),
                b'"status":"%b","background":false,"error":%b,' % (status.encode(), error),
                b'"incomplete_details":%b,"instructions":null,"max_output_tokens":null,"max_tool_calls":null,'
                % details,
                b'"model":%b,"output":[' % JSON.encode(self.model),
                output,
                b'],"parallel_tool_calls":true,"previous_response_id":null,"prompt_cache_key":null,',
                b'"reasoning":{"effort":null,"summary":null},"safety_identifier":null,',
                b'"service_tier":%b,"store":false,"temperature":null,' % JSON.encode(tier),
                b'"text":{"format":%b},"tool_choice":"auto","tools":[],"top_logprobs":0,"top_p":null,' % self._format,
                b'"truncation":"disabled","usage":%b,"user":null,"metadata":{}}' % usage_json(usage),
            )
        )


def usage_json(usage: Usage | None) -> bytes:
    """The `usage` object with both details, which clients read without asking; `null` when nothing was reported.

    The API's fields are numbers: a count that was not reported is 0 beside those that were.
    """
    if usage is None:
        return NULL
    total = (usage.input or 0) + (usage.output or 0)
    return (
        b'{"input_tokens":%d,"input_tokens_details":{"cached_tokens":%d,"cache_write_tokens":%d},'
        b'"output_tokens":%d,"output_tokens_details":{"reasoning_tokens":%d},"total_tokens":%d}'
        % (
            usage.input or 0,
            usage.cached_input or 0,
            usage.cache_write or 0,
            usage.output or 0,
            usage.reasoning or 0,
            total,
        )
    )


def _text_format(format: ResponseFormat | None) -> bytes:
    if format is None or format.kind is not FormatKind.JSON_SCHEMA or format.schema is None:
        kind = FormatKind.TEXT if format is None else format.kind
        return b'{"type":"%b"}' % kind.value.encode()
    schema = _TextFormat(
        "json_schema", format.name or "answer", format.description, one_line(format.schema), format.strict
    )
    return JSON.encode(schema)


def one_line(json: str | bytes) -> msgspec.Raw:
    """Someone else's JSON without line breaks, which would end the event. Breaks inside its strings are escaped anyway."""
    data = json.encode() if isinstance(json, str) else json
    return msgspec.Raw(data.replace(b"\r", b" ").replace(b"\n", b" "))
