"""The Markdown of a survey, and its place in the README."""

import itertools
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from proxy.dialects import DIALECTS
from tests.e2e.test_agents import BASE_PATH
from tests.matrix.clients import ALL_READERS, TEXT_ALONE, agents_of, client_of, clients_of
from tests.matrix.survey import COLUMNS, Cell, Column, Survey
from tests.support.corpus import ROOT
from tests.support.crossing_differences import LOST
from tests.support.readings import CALL_ID, EXPRESSED_FINISH, MERGES_REFUSAL_INTO_TEXT, NO_FINISH, TOKENS_LOST

README = ROOT / "README.md"
HEADING = "## Who is checked against whom"
BEGIN = "<!-- python -m tests.matrix writes what follows -->"
END = "<!-- end of the matrix -->"

LETTERS = {
    "bytes": ("B", "the provider's bytes reach the caller untouched"),
    "text": ("T", "text"),
    "tools": ("C", "tool calls"),
    "parallel tools": ("P", "parallel tool calls"),
    "reasoning": ("R", "reasoning"),
    "structured": ("S", "structured output"),
    "images in": ("I", "images in the request"),
    "refusal": ("F", "refusals"),
    "usage": ("U", "usage"),
    "error": ("E", "errors before the stream and in it"),
    "cut": ("X", "a cut stream is an error"),
}
"""How a feature is written in a cell, and in the legend."""


def render(found: Survey) -> str:
    """The tables, the legend and the losses."""
    notes = Notes()
    lines = [
        f"Every client below read {len(found.recordings)} recordings of real providers and {len(found.examples)} "
        f"examples through a whole proxy, {found.readings} readings in all. What it understood was compared with what "
        "the vendor's own SDK understands of the original. The test suite does the same with every recording, in pieces "
        f"and cut off at many places ({', '.join(f'`{name}`' for name in LOST)} apart). Rows call, columns answer. "
        "Of Vertex there are hardly any recordings, so its columns are Gemini's and Anthropic's own, served at Vertex's "
        f"addresses: {len(found.of_vertex)} of the recordings are of Vertex itself, {len(found.borrowed)} of Gemini or "
        "Claude elsewhere.",
        "",
        *_table(found, notes),
        "",
        f"{', '.join(f'**{letter}** {words}' for letter, words in LETTERS.values())}. A letter stands where every "
        "client that can show it read it right, a small letter where only an example shows it, none where the API has no "
        "such thing or nothing shows it. Whether images arrive is checked on the request, without a server.",
        "",
        *_clients(),
        "",
        *_measures(),
        "",
        *notes.lines(),
    ]
    return "\n".join(lines)


class Notes:
    """Numbered footnotes; the same text has one number."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def mark(self, texts: list[str]) -> str:
        numbers = sorted({self._numbers.setdefault(text, len(self._numbers) + 1) for text in texts})
        return "".join(f"<sup>{number}</sup>" for number in numbers)

    def lines(self) -> list[str]:
        return [f"{number}. {text}" for text, number in self._numbers.items()]


def _table(found: Survey, notes: Notes) -> Iterator[str]:
    yield f"| | {' | '.join(column.name for column in COLUMNS)} |"
    yield f"|---|{'---|' * len(COLUMNS)}"
    for dialect in sorted(DIALECTS):
        head = f"`{dialect}`{notes.mark(losses_of(dialect))}"
        cells = [cell_text(found.cells[dialect, column.name], notes) for column in COLUMNS]
        yield f"| {head} | {' | '.join(cells)} |"


def cell_text(cell: Cell, notes: Notes) -> str:
    """Letters of what passed; what failed is struck through."""
    words: list[str] = []
    for feature, (letter, _) in LETTERS.items():
        if feature in cell.failed:
            words.append(f"~~{letter}~~")
        elif feature in cell.passed:
            words.append(letter)
        elif feature in cell.passed_by_example:
            words.append(letter.lower())
    lost = sorted({f"{', '.join(sorted(row.fields))}: {row.reason} (seen in one recording)" for row in cell.lost})
    return (" ".join(words) or "–") + notes.mark(lost)


def losses_of(dialect: str) -> list[str]:
    """What the dialect or its clients cannot show, from the tables that the tests use."""
    found: list[str] = []
    if dialect in TEXT_ALONE:
        return ["text alone: nothing else has a place, and an error breaks the connection"]
    if dialect in MERGES_REFUSAL_INTO_TEXT:
        found.append("no place for the words of a refusal: they come as text")
    if dialect in TOKENS_LOST:
        found.append(f"no field for these counts: {', '.join(f'`{name}`' for name in TOKENS_LOST[dialect])}")
    if dialect in CALL_ID:
        found.append("ids of calls that the API does not allow are written in other characters")
    words = [
        f"`{ours}` is {f'`{theirs}`' if theirs else 'not said'}"
        for ours, theirs in EXPRESSED_FINISH.get(dialect, {}).items()
        if ours != NO_FINISH
    ]
    if words:
        found.append(f"reasons to end without a word of their own: {', '.join(words)}")
    blind = [
        f"{', '.join(sorted(reader.blind))} ({client_of(reader)})"
        for reader in ALL_READERS
        if reader.dialect == dialect and reader.blind
    ]
    if blind:
        found.append(f"not shown by a client: {'; '.join(dict.fromkeys(blind))}")
    return found


def _clients() -> Iterator[str]:
    yield "| calls as | clients, streaming and not | agents, a task of three tool calls (`tests/e2e/test_agents.py`) |"
    yield "|---|---|---|"
    kinds = ", ".join(f"`{kind}`" for kind in BASE_PATH)
    for dialect in sorted(DIALECTS):
        agents = [f"{agent} on {kinds}" for agent in agents_of(dialect)]
        yield f"| `{dialect}` | {', '.join(clients_of(dialect))} | {', '.join(agents)} |"


def _measures() -> Iterator[str]:
    own = [_measure(column) for column in COLUMNS if column.measure is not None]
    others = [column.name for column in COLUMNS if column.measure is None]
    yield f"The measure of each column: {', '.join(own)}." + (f" Without one: {', '.join(others)}." if others else "")


def _measure(column: Column) -> str:
    assert column.measure is not None
    its_client = " as a client of Vertex" if column.is_borrowed else ""
    return f"{column.name} {client_of(column.measure)}{its_client}"


# --- the README


def written_into(readme: str, page: str) -> str:
    """The README's text with `page` between the markers. Raises ValueError where they are missing."""
    before, rest = _split(readme, BEGIN)
    _, after = _split(rest, END)
    return f"{before}{BEGIN}\n\n{page}\n\n{END}{after}"


def _split(text: str, marker: str) -> tuple[str, str]:
    before, found, after = text.partition(marker)
    if not found:
        raise ValueError(f"README.md has no line {marker}")
    return before, after


def rows(readme: str) -> dict[str, list[str]]:
    """The cells of the README's matrix by dialect; under `""` its kinds."""
    _, rest = _split(readme, BEGIN)
    page, _ = _split(rest, END)
    table = itertools.takewhile(bool, itertools.dropwhile(lambda line: not line.startswith("|"), page.splitlines()))
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    return {head.split("`")[1] if "`" in head else head: rest for head, *rest in cells if not fnmatchcase(head, "-*")}


def write(page: str, file: Path = README) -> None:
    file.write_text(written_into(file.read_text(), page))
