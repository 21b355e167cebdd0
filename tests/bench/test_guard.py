"""The guard judges: what grew, what is new, what a version without a baseline gets."""

from pathlib import Path

import pytest

from proxy.dialects import DIALECTS
from proxy.providers import PROVIDERS
from tests.bench.guard import baseline, reference
from tests.bench.guard.__main__ import read
from tests.bench.guard.pairs import STREAMS, UNCOUNTED, frames, opening_and_delta, pairs


def test_growth_beyond_the_limit_is_a_fault_and_names_the_pair() -> None:
    verdict = baseline.judge({"a > b: text": 2.32, "a > c: text": 2.28}, {"a > b: text": 2.0, "a > c: text": 2.0})

    assert verdict.faults == ["a > b: text: 2.00 -> 2.32, +16%"]


def test_costs_within_the_limit_are_good() -> None:
    assert baseline.judge({"a > b: text": 2.2}, {"a > b: text": 2.0}).faults == []


def test_cheaper_pairs_are_a_remark() -> None:
    verdict = baseline.judge({"a > b: text": 1.0}, {"a > b: text": 2.0})

    assert verdict.faults == []
    assert any("cheaper" in remark for remark in verdict.remarks)


def test_pairs_that_only_one_side_knows_are_faults() -> None:
    verdict = baseline.judge({"new": 1.0}, {"gone": 1.0})

    assert len(verdict.faults) == 2


def test_a_version_without_a_baseline_is_told_how_to_write_one() -> None:
    assert "--write" in baseline.judge({"a": 1.0}, None).faults[0]


def test_what_is_written_is_read_again_and_other_versions_stay(tmp_path: Path) -> None:
    file = tmp_path / "baseline.json"
    file.write_text('{"cpython-2.7": {"a": 9.0}}')

    baseline.write({"a": 1.234}, file)

    assert baseline.load(file) == {"cpython-2.7": {"a": 9.0}, baseline.version(): {"a": 1.23}}


def test_every_kind_and_dialect_is_counted() -> None:
    counted = list(pairs())

    assert {pair.kind for pair in counted} | set(UNCOUNTED) == set(PROVIDERS)
    assert {pair.dialect for pair in counted} == set(DIALECTS)
    assert len({pair.name for pair in counted}) == len(counted)


@pytest.mark.parametrize(("kind", "sort"), STREAMS)
def test_a_repeated_delta_is_content_each_time(kind: str, sort: str) -> None:
    opening, delta = opening_and_delta(kind, sort)

    for pair in pairs():
        if (pair.kind, pair.sort) == (kind, sort):
            transcoder = pair.transcoder()
            transcoder.feed(opening)
            transcoder.feed(delta)
            before = transcoder.summary.content_events
            transcoder.feed(delta)
            assert transcoder.summary.content_events > before, pair.name
            assert not transcoder.summary.ended, pair.name


def test_frames_are_cut_in_any_framing() -> None:
    body = b"event: ping\ndata: {}\n\ndata: {}\n\n"

    assert list(frames("anthropic", body)) == [b"event: ping\ndata: {}\n\n", b"data: {}\n\n"]


def test_the_reference_loop_reads_each_frame() -> None:
    loop = reference.Reference()

    assert loop.feed(reference._DATA) == b'data: {"text":"a few words "}\n\n'


def test_counts_are_read_between_two_marks(tmp_path: Path) -> None:
    for part, total in ((1, 999), (2, 100), (3, 888), (4, 250)):
        (tmp_path / f"counts.{part}").write_text(f"desc: Trigger\ntotals: {total}\n")

    assert read(["reference", "a"], tmp_path / "counts") == {"a": 2.5}
