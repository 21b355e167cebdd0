"""Numbers events and items, and keeps the items for the terminal snapshot."""

from proxy.dialects.openai_responses.response import JSON

DELTA = b'%b%d,"delta":%b}\n\n'
"""A delta event: everything up to its number (see `Writer.head`), the number, the text as JSON."""


class Writer:
    """The frames of one stream. `out` and `sequence_number` are open to the hot path of the encoder."""

    def __init__(self, stream_id: str, sequence_number: int) -> None:
        self.out: list[bytes] = []
        self.sequence_number = sequence_number
        self._stream_id = stream_id
        self._items: list[bytes] = []
        """The final JSON of each item by output index; empty while it is not done."""
        self._ids: set[str] = set()

    def take(self) -> bytes:
        """The frames written since the last time."""
        data = b"".join(self.out)
        self.out.clear()
        return data

    def event(self, type: str, fields: bytes) -> None:
        """Write one event; `fields` are the members of its object beside type and number."""
        name = type.encode()
        self.out.append(
            b'event: %b\ndata: {"type":"%b","sequence_number":%d,%b}\n\n' % (name, name, self.sequence_number, fields)
        )
        self.sequence_number += 1

    def head(self, type: str, place: bytes) -> bytes:
        """The beginning of each delta event of one text; `place` says whose, and what else never changes."""
        name = type.encode()
        return b'event: %b\ndata: {"type":"%b",%b,"sequence_number":' % (name, name, place)

    # --- items

    def new_item(self, prefix: str, id: str | None = None) -> tuple[int, str]:
        """The output index and id of the next item: `id` if it is free, else one of our own in the API's style."""
        index = len(self._items)
        if not id or id in self._ids:
            id = f"{prefix}_{self._stream_id}_{index}"
        self._ids.add(id)
        self._items.append(b"")
        return index, id

    def item_added(self, index: int, item: bytes) -> None:
        self.event("response.output_item.added", b'"output_index":%d,"item":%b' % (index, item))

    def item_done(self, index: int, item: bytes) -> None:
        self._items[index] = item
        self.event("response.output_item.done", b'"output_index":%d,"item":%b' % (index, item))

    def output(self) -> bytes:
        """All items that are done, in order, with commas between them."""
        return b",".join(item for item in self._items if item)


def fields(**values: object) -> bytes:
    """The members of an object with `values`, without its braces."""
    return JSON.encode(values)[1:-1]


def place(item_id: str, output_index: int, **part: int) -> bytes:
    """The fields that say where a delta belongs."""
    return fields(item_id=item_id, output_index=output_index, **part)
