"""The benchmark works, in a configuration so small that its figures mean nothing, and its report says what it found."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench import machine, native, report
from tests.bench.machine import Placement
from tests.bench.rounds import Results, Run
from tests.bench.run import Bench, Session, session
from tests.bench.scenarios import SCENARIOS, quick, slow, tiny
from tests.bench.studies.rows import Rows
from tests.bench.targets import OURS, Ports, Target, gateway, installed

PROJECT = Path(__file__).parents[2]
needs_compiler = pytest.mark.skipif(shutil.which("cc") is None and shutil.which("gcc") is None, reason=native.MISSING)


def run_bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.bench", "--no-realtime", *arguments]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=50)


def results(**values: list[float]) -> Results:
    """Runs of nginx with these figures, one a round."""
    rounds = range(max(map(len, values.values())))
    return Results(
        [
            Run(
                "nginx",
                "events",
                number,
                {"foreign_cores": 0.0, **{name: given[number] for name, given in values.items()}},
            )
            for number in rounds
        ]
    )


NGINX = Target("nginx", "nginx", None)


@needs_compiler
def test_it_measures_every_scenario_and_writes_a_table(tmp_path: Path) -> None:
    targets = ["direct", "aiohttp", "ours"]

    ran = run_bench("--tiny", "--repeat", "1", "--targets", ",".join(targets), "--out", str(tmp_path))

    assert ran.returncode == 0, ran.stdout + ran.stderr
    runs = json.loads((tmp_path / "figures.json").read_text())["runs"]
    assert [(run["target"], run["scenario"]) for run in runs] == [
        (target, scenario) for target in targets for scenario in ("events", "short", "memory", "cancel")
    ]
    for run in runs:
        figures = run["figures"]
        assert figures.get("wrong_streams", 0) == figures.get("never_noticed", 0) == 0, run
        if run["scenario"] == "events":
            assert figures["latency_us_p50"] > 0
            assert (figures["cpu_us_per_event"] > 0) == (run["target"] != "direct")
    assert "a bare aiohttp relay" in (tmp_path / "table.md").read_text()


@needs_compiler
def test_every_conversion_brings_each_event_once() -> None:
    bench = Bench(native.build(), Placement(None, None, False))

    with session(bench, OURS[0]) as running:
        for target in OURS:
            said = Session(bench, target, running.upstream, running.process, running.port).load(tiny(SCENARIOS["bulk"]))
            assert said["good"] == said["finished"] == 4, (target.name, said)


def test_a_target_that_is_absent_is_named() -> None:
    ran = run_bench("--targets", "direct,frobnicator")

    assert ran.returncode == 2
    assert "frobnicator" in ran.stderr


# --- targets and scenarios


def test_a_gateway_of_the_command_line_gets_its_ports(tmp_path: Path) -> None:
    target = installed(gateways=("mine=mygate --port {port} --to http://127.0.0.1:{upstream}/v1",))["mine"]

    assert target.command is not None
    assert target.command(Ports(8001, 9001, tmp_path)) == [
        "sh",
        "-c",
        "exec mygate --port 8001 --to http://127.0.0.1:9001/v1",
    ]


@pytest.mark.parametrize("entry", ["mine", "mine=mygate"])
def test_a_gateway_without_name_or_port_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="NAME=COMMAND"):
        gateway(entry)


@pytest.mark.parametrize("shorten", [quick, slow, tiny])
@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=lambda scenario: scenario.name)
def test_shorter_forms_keep_what_a_scenario_is(shorten, scenario) -> None:  # type: ignore[no-untyped-def]
    shorter = shorten(scenario)

    assert (shorter.name, shorter.holds) == (scenario.name, scenario.holds)
    assert shorter.connections <= scenario.connections
    assert shorter.deltas > 0


# --- the report


def test_a_cell_is_the_median_with_half_the_range() -> None:
    found = results(cpu_us_per_event=[20.0, 30.0, 22.0])

    assert report.cell(found, "nginx", report.COLUMNS[0]) == "22.0 ±23 %"


def test_the_table_leaves_out_what_was_not_run() -> None:
    text = report.table(results(cpu_us_per_event=[20.0]), [NGINX, Target("other", "other", None)])

    assert text.splitlines()[0] == "| | CPU µs an event | one-way µs p50 | p99 | p99.9 |"
    assert len(text.splitlines()) == 3


def test_noise_is_a_doubt() -> None:
    assert "not quiet" in report.doubts(results(foreign_cores=[0.5]))[0]
    assert report.doubts(results(foreign_cores=[0.01])) == []


def test_figures_that_show_the_load_generator_are_a_doubt() -> None:
    assert "measuring core" in report.doubts(results(load_busy=[0.95], target_busy=[0.5]))[0]


def test_latencies_of_a_queue_are_a_doubt() -> None:
    assert "queue" in report.doubts(results(load_busy=[0.5], target_busy=[0.97]))[0]


def test_the_readme_gets_the_table_between_its_markers(tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")

    report.put_into_readme("| new |", file)

    assert file.read_text() == f"before\n{report.BEGIN}\n\n| new |\n\n{report.END}\nafter\n"


def test_a_readme_without_markers_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text("nothing")

    with pytest.raises(ValueError, match="no place"):
        report.put_into_readme("| new |", file)


def test_the_readme_has_a_place_for_the_figures() -> None:
    text = report.README.read_text()

    assert 0 < text.index(report.BEGIN) < text.index(report.END)


def test_rows_of_a_study_keep_rounds_apart() -> None:
    rows = Rows("A study", {"a": "first", "b": "second"})
    values = iter([{"a": 1.0, "b": 5.0}, {"a": 3.0}])

    rows.fill({"variant": lambda: next(values)}, 2)

    assert "| variant | 2.0 ±50 % | 5.0 |" in rows.markdown()


# --- what the kernel counts


def test_time_and_memory_of_a_process_include_its_children() -> None:
    family = machine.family(os.getppid())

    assert os.getpid() in family
    assert machine.cpu_s(os.getppid()) >= 0.9 * sum(os.times()[:2])
    assert machine.memory_bytes(os.getppid()) > machine.memory_bytes(os.getpid()) > 1 << 20
