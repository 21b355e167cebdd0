"""Proofs of reasoning in `thoughtSignature`, the API's one opaque field.

Gemini's own signatures go out and come back as they are. Those of other families travel packed (`hub.carried`), once
more in base64: the field is bytes, and SDKs decode it (google-genai gives it back in the URL-safe alphabet).

A function call must come back to Gemini 3 with a signature, or the whole turn is refused. The calls of other models have
none, and their callers may well be answered by Gemini next; so the first call of such an answer bears the word that
Google documents for calls from elsewhere (ai.google.dev/gemini-api/docs/thought-signatures). Read, it is no signature.
"""

import base64
import re
from typing import Final

import msgspec

from proxy.hub.carried import Carried, pack, unpack
from proxy.hub.events import Origin

NO_SIGNATURE: Final = "skip_thought_signature_validator"

_BASE64 = re.compile(r"(?:[A-Za-z0-9+/_-]{4})*(?:[A-Za-z0-9+/_-]{2}==|[A-Za-z0-9+/_-]{3}=)?")


class Proof(msgspec.Struct, frozen=True):
    """What a `thoughtSignature` holds."""

    signature: str
    origin: Origin
    is_redacted: bool = False


def write(proof: Proof, call_id: str | None = None) -> str:
    """The field's value. `call_id`: the call whose part it stands on.

    A signature of Gemini's that is no base64 (of a server that copies the API) is packed as well: SDKs would fail on it.
    """
    if proof.origin is Origin.GEMINI and not proof.is_redacted and _BASE64.fullmatch(proof.signature):
        return proof.signature
    packed = pack(Carried(proof.origin, proof.signature, call_id, proof.is_redacted))
    return base64.b64encode(packed.encode()).decode()


def read(value: str | None) -> Proof | None:
    """What `write` was given; a value that we did not write is Gemini's. `None`: there is no proof."""
    if not value or value == NO_SIGNATURE:
        return None
    carried = unpack(_decoded(value))
    if carried is None:
        return Proof(value, Origin.GEMINI)
    return Proof(carried.proof, carried.origin, carried.is_redacted)


def _decoded(value: str) -> str:
    plain = value.translate({ord("-"): "+", ord("_"): "/"})
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True).decode("ascii")
    except ValueError:
        return ""
