"""Measure this proxy beside nginx, a bare aiohttp relay and other gateways, on this machine.

    python -m tests.bench [--quick] [--out FOLDER]      about ten minutes; --quick: under two
    python -m tests.bench --linearity --workers --tls --loops      studies of this proxy alone

A simulated provider writes events with the time in them; callers read them through each target. For each target:
CPU time of an event and of a short stream, as the kernel counts it; how late an event arrives; memory of open streams;
how long the provider's connection outlives its caller. Rounds are interleaved and the table shows medians and their
spread. With two cores or more, the target has one for itself, and the provider and the callers share another. As root,
real-time priorities keep other programs out of the way.

Installed programs are found on the path: nginx, haproxy, litellm. `--litellm` names the environment of one, and
`--gateway 'mine=mygate --port {port} --upstream http://127.0.0.1:{upstream}/v1'` adds whatever serves
/v1/chat/completions. Linux, a C compiler (the provider and the callers are C programs, built on demand).
"""

import argparse
import sys
from pathlib import Path

from tests.bench import machine, plot, report, studies
from tests.bench.machine import Placement
from tests.bench.native import CannotBuild, build
from tests.bench.rounds import Results, measure
from tests.bench.run import Bench, CannotRun
from tests.bench.scenarios import SCENARIOS, USUAL, quick, tiny
from tests.bench.targets import Target, installed, litellm_version

OUT = Path(__file__).parent / "out"
QUICK_TARGETS = ("direct", "nginx", "aiohttp", "ours", "ours-anthropic-openai")


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m tests.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument(
        "--out", type=Path, default=OUT, metavar="FOLDER", help="for table, plot and raw figures (default: %(default)s)"
    )
    made.add_argument("--targets", metavar="A,B", help="which; default: all that are installed; `list` lists them")
    made.add_argument(
        "--scenarios",
        default=",".join(USUAL),
        metavar="A,B",
        help="of " + ", ".join(SCENARIOS) + " (default: %(default)s)",
    )
    made.add_argument("--repeat", type=int, default=3, metavar="N", help="rounds (default: %(default)s)")
    made.add_argument("--quick", action="store_true", help=f"shorter runs of {', '.join(QUICK_TARGETS)}")
    made.add_argument(
        "--tiny", action="store_true", help="seconds; shows that the bench works, its figures mean nothing"
    )
    made.add_argument("--litellm", metavar="PATH", help="LiteLLM's command, or the virtual environment that holds it")
    made.add_argument(
        "--gateway", action="append", default=[], metavar="NAME=COMMAND", help="one more target, see above"
    )
    made.add_argument("--no-realtime", action="store_true", help="ordinary priorities, even as root")
    made.add_argument("--readme", action="store_true", help="write the table into README.md")
    for name, study in studies.STUDIES.items():
        made.add_argument(f"--{name}", action="store_true", help=study.says)
    return made


def chosen(given: argparse.Namespace) -> list[Target]:
    """The targets to measure. Raises ValueError for one that is not there."""
    known = installed(given.litellm, tuple(given.gateway))
    if given.targets is not None:
        names = given.targets.split(",")
    elif given.quick:
        extra = [entry.partition("=")[0] for entry in given.gateway]
        names = [name for name in (*QUICK_TARGETS, *extra) if name in known]
    else:
        names = list(known)
    absent = [name for name in names if name not in known]
    if absent:
        raise ValueError(f"not here: {', '.join(absent)}; there are {', '.join(known)}")
    return [known[name] for name in names]


def compare(bench: Bench, given: argparse.Namespace, targets: list[Target]) -> int:
    """The comparison of targets; the process's exit code."""
    scenarios = [SCENARIOS[name] for name in given.scenarios.split(",")]
    shorten = tiny if given.tiny else quick if given.quick else None
    if shorten is not None:
        scenarios = [shorten(scenario) for scenario in scenarios]
    results = Results()
    with bench.placement.awake():
        measure(bench, targets, scenarios, given.repeat, lambda line: print(line, flush=True), results)
    measured = {run.target for run in results.runs}
    facts = machine.facts()
    facts.update({name: machine.program_version(name) for name in ("nginx", "haproxy") if name in measured})
    if "litellm" in measured:
        facts["litellm"] = litellm_version(given.litellm)
    has_slow = any(target.is_slow and target.name in measured for target in targets)
    page = f"{report.table(results, targets)}\n\n{report.explanation(facts, scenarios, given.repeat, has_slow)}"
    remarks = [f"{bench.placement}.", *report.doubts(results)]
    whole = "\n\n".join((page, "\n".join(remarks), report.extra_tables(results, targets), report.ratios(results)))
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "table.md").write_text(whole.strip() + "\n")
    results.write(given.out / "figures.json")
    print(f"\n{whole.strip()}\n\nwritten: {given.out}/table.md, {given.out}/figures.json")
    if plot.draw(results, targets, given.out / "plot.png"):
        print(f"written: {given.out}/plot.png")
    else:
        print(plot.MISSING)
    if given.readme:
        report.put_into_readme(f"{page}\n{report.noise_of(results)}".rstrip())
    return 1 if results.faults else 0


def main() -> int:
    given = parser().parse_args()
    try:
        if given.targets == "list":
            print(
                *(
                    f"{target.name:26} {target.says}"
                    for target in installed(given.litellm, tuple(given.gateway)).values()
                ),
                sep="\n",
            )
            return 0
        unknown = set(given.scenarios.split(",")) - set(SCENARIOS)
        if unknown:
            raise ValueError(f"no such scenario: {', '.join(sorted(unknown))}")
        targets = chosen(given)
        programs = build()
    except (CannotBuild, ValueError) as fault:
        print(fault, file=sys.stderr)
        return 2
    bench = Bench(programs, Placement.of_machine(realtime=not given.no_realtime))
    named = [name for name in studies.STUDIES if getattr(given, name)]
    print(f"{bench.placement}.\n" + ", ".join(f"{name} {value}" for name, value in machine.facts().items()), flush=True)
    if not named:
        return compare(bench, given, targets)
    given.out.mkdir(parents=True, exist_ok=True)
    for name in named:
        try:
            page = studies.STUDIES[name].run(bench, given.repeat, 0.2 if given.quick or given.tiny else 1.0)
        except CannotRun as fault:
            print(fault, file=sys.stderr)
            return 2
        (given.out / f"{name}.md").write_text(page + "\n")
        print(f"\n{page}\n\nwritten: {given.out}/{name}.md", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
