"""The README's matrix speaks of everything that is registered, and of nothing that failed."""

import pytest

from proxy.dialects import DIALECTS
from proxy.providers import PROVIDERS
from tests.matrix.clients import ALL_READERS, client_of
from tests.matrix.page import BEGIN, END, HEADING, LETTERS, README, Notes, cell_text, rows, written_into
from tests.matrix.survey import COLUMNS, FEATURES, RECORDED_AS, WITH_IMAGE, Cell, Column, Survey, check_images
from tests.support.reader import Reader

STALE = "run `python -m tests.matrix --write`"


def test_readme_lists_every_dialect_and_every_kind() -> None:
    found = rows(README.read_text())

    assert set(found) - {""} == set(DIALECTS), STALE
    assert found[""] == [column.name for column in COLUMNS], STALE
    assert {column.kind for column in COLUMNS} == set(PROVIDERS)
    assert {len(cells) for cells in found.values()} == {len(COLUMNS)}
    assert HEADING in README.read_text()


def test_what_the_readme_says_was_checked_and_nothing_failed() -> None:
    _, *found = [row for _, row in sorted(rows(README.read_text()).items())]
    measured = [cell for row in found for column, cell in zip(COLUMNS, row, strict=True) if column.measure is not None]

    assert [cell for row in found for cell in row if "~~" in cell] == []
    assert [cell for cell in measured if not {"T", "E", "X"} <= set(cell.split("<")[0].split())] == []


@pytest.mark.parametrize("reader", ALL_READERS, ids=str)
def test_every_client_has_a_version(reader: Reader) -> None:
    assert client_of(reader)


def test_every_dialect_has_a_client() -> None:
    assert {reader.dialect for reader in ALL_READERS} == set(DIALECTS)


def test_every_feature_has_a_letter_of_its_own() -> None:
    letters = [letter for letter, _ in LETTERS.values()]

    assert len(set(letters)) == len(letters)
    assert set(FEATURES) == set(RECORDED_AS) <= set(LETTERS)


@pytest.mark.parametrize("dialect", WITH_IMAGE)
@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)
def test_images_of_every_dialect_reach_every_kind(dialect: str, column: Column) -> None:
    found = Survey()

    check_images(found, dialect, column)

    assert found.faults == []
    assert found.cells[dialect, column.name].passed == {"images in"}


def test_a_cell_says_what_passed_what_only_an_example_shows_and_what_failed() -> None:
    cell = Cell(passed={"text", "tools"}, passed_by_example={"refusal", "tools"}, failed={"usage", "text"})

    assert cell_text(cell, Notes()) == "~~T~~ C f ~~U~~"


def test_a_page_takes_the_place_of_the_last_one() -> None:
    once = written_into(f"a\n{BEGIN}\n\n{END}\nb", "page")

    assert written_into(once, "page") == once == f"a\n{BEGIN}\n\npage\n\n{END}\nb"
