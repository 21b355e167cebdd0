"""A proof of one family inside a field of another, so that reasoning survives a caller who speaks a third dialect.

Thinking signatures (Anthropic), thought signatures (Gemini) and encrypted reasoning (OpenAI) must come back unchanged on
the next turn. A dialect with an opaque field of its own (Responses `encrypted_content`) hands a foreign proof out in
that field, packed together with whose it is, and unpacks it when the caller gives it back. So only the family that made
a proof ever sees it again.

A proof packed here is worthless to every API. A provider that relays a caller's own body looks for `MARK` and takes
such fields out: the caller may have been answered by another target on the turn before.
"""

import base64
from typing import Final

import msgspec

from proxy.hub.events import Origin

MARK: Final = "llm-stream-proxy.1."
"""How every packed proof begins. Letters, digits, `.`, `-` and `_` only: any JSON text holds it literally."""


class Carried(msgspec.Struct, frozen=True, omit_defaults=True):
    """One proof and what it proves."""

    origin: Origin
    proof: str
    call_id: str | None = None
    """The tool call that the proof belongs to; `None`: it belongs to the reasoning beside which it is carried."""
    is_redacted: bool = False
    """The proof is the whole of a redacted block, not the signature of a shown one."""


_DECODER = msgspec.json.Decoder(Carried)


def pack(carried: Carried) -> str:
    """One opaque word: `MARK` and base64url."""
    return MARK + base64.urlsafe_b64encode(msgspec.json.encode(carried)).decode()


def unpack(text: str) -> Carried | None:
    """What `pack` made `text` of; `None`: it is none of ours, or it was damaged on the way."""
    if not text.startswith(MARK):
        return None
    try:
        return _DECODER.decode(base64.b64decode(text[len(MARK) :], altchars=b"-_", validate=True))
    except ValueError:
        return None
