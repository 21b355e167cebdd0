"""A whole answer as one response: what `generateContent` gives."""

from proxy.dialects.base import StreamContext
from proxy.dialects.gemini.citations import Citations
from proxy.dialects.gemini.parts import (
    CallWriter,
    encode,
    finish_fields,
    finish_word,
    media_part,
    redacted_part,
    result_part,
    server_call_part,
    signature_of,
    text_part,
    unbroken,
    usage_metadata,
)
from proxy.hub.completion import CompletedBlock, Completion
from proxy.hub.events import (
    FinishReason,
    MediaBlock,
    MessageEnd,
    Origin,
    ReasoningBlock,
    RedactedReasoningBlock,
    RefusalBlock,
    TextBlock,
    ToolCallBlock,
    ToolKind,
    ToolResultBlock,
)


def encode_completion(completion: Completion, context: StreamContext) -> bytes:
    """The JSON of `completion`, whose `error` is None."""
    answer = _Answer()
    for index, done in enumerate(completion.blocks):
        answer.add(index, done)
    answer.flush_waiting()
    end = completion.end or MessageEnd(FinishReason.OTHER)
    word = finish_word(end, has_refused=answer.has_refused, has_failed_calls=bool(answer.calls.failed))
    candidate = finish_fields(word, answer.calls.failed) + b',"index":0' + answer.sources()
    if answer.parts or word == "STOP":
        parts = b",".join(answer.parts) or text_part("")
        candidate = b'"content":{"parts":[%b],"role":"model"},%b' % (parts, candidate)
    usage = b"" if completion.usage is None else b'"usageMetadata":%b,' % usage_metadata(completion.usage)
    model = unbroken(encode(completion.model or context.model))
    names = b'"modelVersion":%b,"responseId":%b' % (model, encode(context.id))
    return b'{"candidates":[{%b}],%b%b}' % (candidate, usage, names)


class _Answer:
    """The parts of one answer, put together block by block."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.calls = CallWriter()
        self.has_refused = False
        self._waiting: str | None = None
        """A signature of Gemini's whose part comes next."""
        self._citations = Citations()
        self._own_sources: dict[str, bytes] = {}

    def add(self, index: int, done: CompletedBlock) -> None:
        block = done.block
        if done.signature is not None:
            self.calls.see(done.signature)
        if isinstance(block, TextBlock | RefusalBlock):
            self.has_refused = self.has_refused or isinstance(block, RefusalBlock)
            self._add_text(index, done)
        elif isinstance(block, MediaBlock):
            self.parts.append(media_part(block, self._take_waiting()))
        else:
            self.flush_waiting()
            self._add_other(block, done)

    def _add_text(self, index: int, done: CompletedBlock) -> None:
        if done.text or self._waiting is not None:
            self.parts.append(text_part(done.text, signature=self._take_waiting()))
        self._citations.begin(index)
        self._citations.add_text(done.text)
        for citation in done.citations:
            self._own_sources |= {name: bytes(raw) for name, raw in self._citations.add(citation).items()}

    def _add_other(
        self, block: ReasoningBlock | RedactedReasoningBlock | ToolCallBlock | ToolResultBlock, done: CompletedBlock
    ) -> None:
        part: bytes | None
        match block:
            case ReasoningBlock():
                part = self._thought(done)
            case RedactedReasoningBlock():
                part = redacted_part(block)
            case ToolResultBlock():
                part = result_part(block)
            case ToolCallBlock(kind=ToolKind.SERVER):
                part = server_call_part(block)
            case ToolCallBlock():
                part = self.calls.part(block, done.text, done.signature)
        if part is not None:
            self.parts.append(part)

    def _thought(self, done: CompletedBlock) -> bytes | None:
        added = done.signature
        if added is None:
            return text_part(done.text, thought=True) if done.text else None
        if added.origin is Origin.GEMINI and not done.text:
            self._waiting = signature_of(added)
            return None
        return text_part(done.text, thought=True, signature=signature_of(added))

    def _take_waiting(self) -> str | None:
        waiting, self._waiting = self._waiting, None
        return waiting

    def flush_waiting(self) -> None:
        """Give the waiting signature an empty text of its own: no part came that it could stand on."""
        if self._waiting is not None:
            self.parts.append(text_part("", signature=self._take_waiting()))

    def sources(self) -> bytes:
        """The candidate's fields about sources, each with a comma in front."""
        grounding = self._citations.grounding()
        fields = dict(self._own_sources)
        if grounding is not None:
            fields["groundingMetadata"] = grounding
        return b"".join(b",%b:%b" % (encode(name), unbroken(json)) for name, json in fields.items())
