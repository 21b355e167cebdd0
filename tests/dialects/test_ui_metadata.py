import msgspec
import pytest

from proxy.dialects.ui_metadata import call_signature, reasoning_part, redacted_metadata, signature_metadata
from proxy.hub.errors import CallerError
from proxy.hub.events import Origin, RedactedReasoningBlock, SignatureAdded
from proxy.hub.request import ReasoningPart


def raw(metadata: object) -> dict[str, msgspec.Raw]:
    return msgspec.json.decode(msgspec.json.encode(metadata), type=dict[str, msgspec.Raw])


@pytest.mark.parametrize("origin", Origin)
def test_signatures_come_back_to_the_family_that_made_them(origin: Origin) -> None:
    metadata = raw(signature_metadata(SignatureAdded(0, "proof", origin)))

    assert reasoning_part("Hm.", metadata, "p") == ReasoningPart("Hm.", "proof", origin)


@pytest.mark.parametrize("origin", Origin)
def test_closed_reasoning_comes_back_whole(origin: Origin) -> None:
    id = "rs_1" if origin is Origin.OPENAI else None

    part = reasoning_part("", raw(redacted_metadata(RedactedReasoningBlock("proof", origin, id))), "p")

    redacted = part.redacted or part.signature
    assert (part.text, redacted, part.origin, part.id) == ("", "proof", origin, id)


@pytest.mark.parametrize("origin", [origin for origin in Origin if origin is not Origin.OPENAI])
def test_signatures_of_calls_come_back(origin: Origin) -> None:
    assert call_signature(raw(signature_metadata(SignatureAdded(0, "proof", origin))), "p") == ("proof", origin)


@pytest.mark.parametrize("metadata", [None, {}, {"anthropic": None}, {"someone": {"signature": 5}}, {"google": {}}])
def test_metadata_of_others_says_nothing(metadata: object) -> None:
    found = None if metadata is None else raw(metadata)

    assert reasoning_part("Hm.", found, "p") == ReasoningPart("Hm.")
    assert call_signature(found, "p") is None


def test_wrong_type_is_named() -> None:
    with pytest.raises(CallerError) as refusal:
        reasoning_part("", raw({"anthropic": {"signature": 5}}), "messages[0].parts[1].providerMetadata")

    assert refusal.value.param == "messages[0].parts[1].providerMetadata.anthropic.signature"
