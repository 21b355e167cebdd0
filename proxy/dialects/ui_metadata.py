"""Opaque reasoning in the AI SDK's `providerMetadata`: `{"anthropic": {"signature": "…"}}`.

UI messages come back with the metadata of their parts, so a signature given out here is there on the next turn. Each
family's words are those of its AI SDK provider (@ai-sdk/anthropic 4.0, @ai-sdk/google 4.0, @ai-sdk/openai 4.0); what has
no words there travels packed (`hub.carried`) under this proxy's own name.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from proxy.dialects.json_body import read
from proxy.hub.carried import Carried, pack, unpack
from proxy.hub.events import Origin, RedactedReasoningBlock, SignatureAdded
from proxy.hub.request import ReasoningPart

OWN: Final = "llmStreamProxy"
"""This proxy's name among the providers."""

Metadata = dict[str, dict[str, str]]


class _Anthropic(msgspec.Struct, frozen=True):
    signature: str | None = None
    redactedData: str | None = None


class _Google(msgspec.Struct, frozen=True):
    thoughtSignature: str | None = None


class _OpenAI(msgspec.Struct, frozen=True):
    itemId: str | None = None
    reasoningEncryptedContent: str | None = None


class _Own(msgspec.Struct, frozen=True):
    proof: str | None = None


class _Metadata(msgspec.Struct):
    anthropic: _Anthropic = _Anthropic()
    google: _Google = _Google()
    openai: _OpenAI = _OpenAI()
    llmStreamProxy: _Own = _Own()


_DECODER = msgspec.json.Decoder(_Metadata)


# --- out


def signature_metadata(added: SignatureAdded, item_id: str | None = None) -> Metadata:
    """For the signature of reasoning (`item_id`: the block's id) or of a call."""
    match added.origin:
        case Origin.ANTHROPIC:
            return {"anthropic": {"signature": added.signature}}
        case Origin.GEMINI:
            return {"google": {"thoughtSignature": added.signature}}
        case Origin.OPENAI:
            return _openai(added.signature, item_id)
        case _:
            return {OWN: {"proof": pack(Carried(added.origin, added.signature))}}


def redacted_metadata(block: RedactedReasoningBlock) -> Metadata:
    """For reasoning that came closed."""
    match block.origin:
        case Origin.ANTHROPIC:
            return {"anthropic": {"redactedData": block.data}}
        case Origin.OPENAI:
            return _openai(block.data, block.id)
        case _:
            return {OWN: {"proof": pack(Carried(block.origin, block.data, is_redacted=True))}}


def _openai(content: str, item_id: str | None) -> Metadata:
    item = {} if item_id is None else {"itemId": item_id}
    return {"openai": {**item, "reasoningEncryptedContent": content}}


# --- in


def reasoning_part(text: str, metadata: Mapping[str, msgspec.Raw] | None, path: str) -> ReasoningPart:
    """Reasoning with what its metadata proves. Raises CallerError naming the field."""
    found = _read(metadata, path)
    if found.anthropic.redactedData:
        return ReasoningPart("", origin=Origin.ANTHROPIC, redacted=found.anthropic.redactedData)
    content = found.openai.reasoningEncryptedContent
    if content and not text:
        return ReasoningPart("", origin=Origin.OPENAI, redacted=content, id=found.openai.itemId)
    if content:
        return ReasoningPart(text, content, Origin.OPENAI, id=found.openai.itemId)
    proof = _proof(found)
    if proof is None:
        return ReasoningPart(text)
    if proof.is_redacted:
        return ReasoningPart("", origin=proof.origin, redacted=proof.proof)
    return ReasoningPart(text, proof.proof, proof.origin)


def call_signature(metadata: Mapping[str, msgspec.Raw] | None, path: str) -> tuple[str, Origin] | None:
    """The signature of a tool call. Raises CallerError naming the field."""
    proof = _proof(_read(metadata, path))
    return None if proof is None else (proof.proof, proof.origin)


def _read(metadata: Mapping[str, msgspec.Raw] | None, path: str) -> _Metadata:
    if not metadata:
        return _Metadata()
    # Other providers' metadata is the app's business; null is as good as absent.
    ours = {name: raw for name, raw in metadata.items() if name in _NAMES and bytes(raw) != b"null"}
    return read(_DECODER, msgspec.json.encode(ours), path)


_NAMES: Final = frozenset(field.encode_name for field in msgspec.structs.fields(_Metadata))


def _proof(found: _Metadata) -> Carried | None:
    if found.anthropic.signature:
        return Carried(Origin.ANTHROPIC, found.anthropic.signature)
    if found.google.thoughtSignature:
        return Carried(Origin.GEMINI, found.google.thoughtSignature)
    return unpack(found.llmStreamProxy.proof or "")
