"""The fault matrix: every fault of a peer, and what must follow from it. One row, one test in `test_faults`.

    python -m tests.e2e.faults        prints it as a Markdown table

Each row of an upstream runs as pass-through (an OpenAI caller of an OpenAI Chat upstream) and as conversion (an
Anthropic caller of the same), some also the other way (an OpenAI caller of an Anthropic upstream). Each row of a caller
runs on both callers' routes.
"""

from collections.abc import Iterator
from dataclasses import replace

from tests.e2e.fault_row import CallerRow, Row
from tests.e2e.faults_before_body import HEADS, OPENINGS, REACHING, STATUSES
from tests.e2e.faults_in_stream import CUTS, ENDINGS, MALFORMED, ODDITIES, SILENCES
from tests.e2e.faults_of_callers import BODIES, FRAMING, LEAVING, SLOW

_GROUPS: dict[str, list[Row]] = {
    "reaching the upstream": REACHING,
    "before the body: head": HEADS,
    "before the body: status": STATUSES,
    "before the body: first event": OPENINGS,
    "in the stream: cut": CUTS,
    "in the stream: ending": ENDINGS,
    "in the stream: silence": SILENCES,
    "in the stream: malformed": MALFORMED,
    "in the stream: odd, not wrong": ODDITIES,
}
UPSTREAM_FAULTS: list[Row] = [replace(row, group=group) for group, rows in _GROUPS.items() for row in rows]

_CALLER_GROUPS: dict[str, list[CallerRow]] = {
    "caller: framing": FRAMING,
    "caller: body": BODIES,
    "caller: slow or gone in its request": SLOW,
    "caller: slow or gone in its answer": LEAVING,
}
CALLER_FAULTS: list[CallerRow] = [
    replace(row, group=group) for group, rows in _CALLER_GROUPS.items() for row in rows if rows is not LEAVING
]
LEAVING_FAULTS: list[CallerRow] = [replace(row, group="caller: slow or gone in its answer") for row in LEAVING]

HEADER = ("Group", "Name", "What happens", "The caller gets", "Outcome", "Attempts", "Upstream connection is closed")


def cells() -> Iterator[tuple[str, ...]]:
    """The table's lines."""
    for row in UPSTREAM_FAULTS:
        expect = row.expect
        gets, outcome = str(expect), expect.outcome
        if row.converted is not None:
            gets += f"; converted: {row.converted}"
            if row.converted.outcome != outcome:
                outcome += f"; converted: {row.converted.outcome}"
        yield row.group, row.name, row.fault, gets, outcome, str(expect.attempts), expect.closed.value
    for caller in (*CALLER_FAULTS, *LEAVING_FAULTS):
        gets = "whole answer" if caller.status == 200 else f"HTTP {caller.status}" if caller.status else "-"
        closed = "by the proxy, at once" if caller in LEAVING_FAULTS else "-"
        yield caller.group, caller.name, caller.fault, gets, caller.outcome or "no call", str(caller.requests), closed


def main() -> None:
    """Print the table."""
    print("| " + " | ".join(HEADER) + " |")
    print("|" + "---|" * len(HEADER))
    for line in cells():
        print("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |")


if __name__ == "__main__":
    main()
