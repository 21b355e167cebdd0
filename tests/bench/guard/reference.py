"""The unit of the guard: a loop with the operations of a codec and none of its code.

Costs are written as multiples of this, so that a build of Python, a library or a compiler that makes everything dearer
changes no cost. It must never change: every baseline would be void.
"""

import msgspec


class _Delta(msgspec.Struct, gc=False):
    text: str | None = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta
    index: int = 0


class _Frame(msgspec.Struct, gc=False):
    choices: list[_Choice] = []
    model: str | None = None


_DECODER = msgspec.json.Decoder(_Frame)
_ENCODER = msgspec.json.Encoder()

_DATA = (
    b'data: {"id":"r-0123456789","object":"chunk","created":1750000000,"model":"reference",'
    b'"choices":[{"index":0,"delta":{"text":"a few words "},"finish_reason":null}]}\n\n'
)


class Reference:
    """Cuts, decodes, asks and writes one frame at a time."""

    def __init__(self) -> None:
        self._rest = b""
        self._seen = 0

    def feed(self, data: bytes) -> bytes:
        data = self._rest + data
        out: list[bytes] = []
        start = 0
        while (end := data.find(b"\n\n", start)) >= 0:
            line = data[start:end]
            if line.startswith(b"data: "):
                self._write(_DECODER.decode(line[6:]), out)
            start = end + 2
        self._rest = data[start:]
        return b"".join(out)

    def _write(self, frame: _Frame, out: list[bytes]) -> None:
        for choice in frame.choices:
            text = choice.delta.text
            if text is not None:
                self._seen += 1
                out.append(b'data: {"text":' + _ENCODER.encode(text) + b"}\n\n")


def repeated(count: int) -> None:
    """So many frames."""
    feed = Reference().feed
    for _ in range(count):
        feed(_DATA)
