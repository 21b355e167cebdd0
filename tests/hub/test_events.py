"""The closed union of events: the sets that split it must cover it."""

from typing import get_args

import pytest

from proxy.hub import events
from proxy.hub.events import CONTENT_EVENTS, TERMINAL_EVENTS, Block, BlockEnd, Event, MessageStart, Usage
from proxy.hub.grammar import ALLOWED

UNION = set(get_args(Event))


def test_every_event_is_content_or_terminal_or_bookkeeping() -> None:
    bookkeeping = {MessageStart, events.BlockStart, BlockEnd, Usage}

    assert CONTENT_EVENTS | TERMINAL_EVENTS | bookkeeping == UNION
    assert not CONTENT_EVENTS & TERMINAL_EVENTS


def test_every_delta_is_allowed_in_some_block() -> None:
    assert set().union(*ALLOWED.values()) == CONTENT_EVENTS
    assert set(ALLOWED) <= set(get_args(Block))


@pytest.mark.parametrize("member", sorted(UNION | set(get_args(Block)), key=lambda member: member.__name__))
def test_events_cannot_change_after_they_were_made(member: type) -> None:
    """Decoder, tap and encoder may hold the same object."""
    assert member.__struct_config__.frozen
