"""The command line: `llm-stream-proxy` or `python -m proxy`, with `serve` as the usual command.

Exit codes: 0 done, or stopped as asked; 1 failed while running; 2 bad usage or configuration.
"""

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from proxy import __version__
from proxy.commands import ServeOptions
from proxy.config import Flag, Sources, load
from proxy.config.environment import CONFIG_VARIABLE
from proxy.hub.errors import ConfigError

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_BAD = 2
EXIT_INTERRUPTED = 130
"""What a shell reports of a program that Ctrl-C ended."""

PROGRAM = "llm-stream-proxy"

_TOP_LEVEL = ("-h", "--help", "--version")

TOP_ORDERS = (
    *("gap", "age", "rate", "waiting", "unread", "max_gap", "first_event", "bytes"),
    *("state", "model", "caller", "dialect"),
)
"""What `top` sorts by: the names of `top.table.ORDERS`, which is not loaded for every command."""

_EPILOG = f"""\
With no configuration the proxy serves the simulated model `demo`, and the models of every vendor whose key is in the
environment (OPENAI_API_KEY, ANTHROPIC_API_KEY, GEMINI_API_KEY and others).

Every key can be set by environment: LLM_STREAM_PROXY_LISTEN, LLM_STREAM_PROXY_TIMEOUTS__IDLE_S. The order of strength
is flag, environment, file, default. {CONFIG_VARIABLE} names the file, as --config does.

exit codes: 0 done or stopped, 1 failed while running, 2 bad usage or configuration
"""


class _Arguments(argparse.Namespace):
    """What the parser fills in."""

    command: str
    config: Path | None
    file: Path | None
    listen: str | None
    workers: str | None
    shows_effective: bool
    top_url: str | None
    top_url_option: str | None
    interval_s: float
    order: str
    is_once: bool
    is_top_json: bool
    url: str
    key_env: str | None
    model: str
    silence: float
    pause: float
    is_json: bool


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the process's exit code. `arguments`: without the program's name, by default the process's."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _run(given)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # The reader of our output (`| head`) is content; keep Python from complaining while it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _run(given: list[str]) -> int:
    if not given or (given[0].startswith("-") and given[0] not in _TOP_LEVEL):
        given = ["serve", *given]
    options = build_parser().parse_args(given, _Arguments())
    match options.command:
        case "check":
            from proxy.commands import check

            return check.run(Sources(options.file or _file_of_environment()), shows_effective=options.shows_effective)
        case "top":
            from proxy.commands import top

            url = options.top_url_option or options.top_url
            return top.run(top.TopOptions(url, options.interval_s, options.order, options.is_once, options.is_top_json))
        case "schema":
            from proxy.commands import schema

            return schema.run()
        case "doctor":
            from proxy.commands import doctor

            asked = (options.url, options.key_env, options.model, options.silence, options.pause, options.is_json)
            return doctor.run(doctor.DoctorOptions(*asked))
        case _:
            return _serve(options)


def _serve(options: _Arguments) -> int:
    flags = [
        Flag(f"--{key}", key, text) for key, text in (("listen", options.listen), ("workers", options.workers)) if text
    ]
    sources = Sources(options.config or _file_of_environment(), tuple(flags))
    try:
        loaded = load(sources)
    except ConfigError as fault:
        for problem in fault.problems:
            print(problem, file=sys.stderr)
        print(f"{PROGRAM}: the configuration cannot be used", file=sys.stderr)
        return EXIT_BAD
    from proxy.commands import serve

    return serve.run(loaded.config, ServeOptions(sources, loaded))


def _file_of_environment() -> Path | None:
    file = os.environ.get(CONFIG_VARIABLE, "")
    return Path(file) if file else None


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Streaming reverse proxy between LLM callers and provider APIs: any dialect in, any provider out.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_serve(commands)
    _add_top(commands)
    _add_check(commands)
    _add_doctor(commands)
    commands.add_parser(
        "schema",
        help="print the JSON Schema of configuration files",
        description="Print the JSON Schema (2020-12) of configuration files, for editors.",
        allow_abbrev=False,
    )
    return parser


def _add_serve(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    serve = commands.add_parser(
        "serve",
        help="run the proxy (the usual command: may be left out)",
        description="Run the proxy until SIGTERM or Ctrl-C; streams are finished first, a second signal cuts them.",
        allow_abbrev=False,
    )
    serve.add_argument(
        "--config", type=Path, metavar="FILE", help="configuration file (YAML); none: the embedded default"
    )
    serve.add_argument("--listen", metavar="HOST:PORT", help="address for callers (default: 127.0.0.1:8080)")
    serve.add_argument(
        "--workers", type=_workers, metavar="N", help="processes that share the port; 0: one for each CPU"
    )


def _add_top(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    top = commands.add_parser(
        "top",
        help="watch the calls of a running proxy, and end them",
        description="Show what every call in progress does: both sides, gaps, rates, bytes that wait. In a terminal it "
        "is live: arrows select, k kills, s sorts, q quits. Into a pipe it prints a table once.",
        allow_abbrev=False,
    )
    top.add_argument(
        "top_url",
        nargs="?",
        metavar="URL",
        help="the proxy's admin address (default: http://127.0.0.1:9090, else http://127.0.0.1:8080)",
    )
    top.add_argument("--url", dest="top_url_option", metavar="URL", help="the same")
    top.add_argument(
        "--interval",
        dest="interval_s",
        type=_interval,
        default=1.0,
        metavar="S",
        help="seconds between looks (default: 1)",
    )
    top.add_argument(
        "--sort", dest="order", choices=TOP_ORDERS, default="gap", help="the greatest first, words by the alphabet"
    )
    top.add_argument("--once", dest="is_once", action="store_true", help="print a plain table, and end")
    top.add_argument(
        "--json", dest="is_top_json", action="store_true", help="print a line of JSON for each look; one with --once"
    )


def _interval(text: str) -> float:
    try:
        interval_s = float(text)
    except ValueError:
        interval_s = 0.0
    if not 0.2 <= interval_s <= 60:
        raise argparse.ArgumentTypeError(f"expected seconds from 0.2 to 60, got {text!r}")
    return interval_s


def _add_check(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    check = commands.add_parser(
        "check",
        help="check a configuration file",
        description="Report every problem of a configuration as FILE:LINE:COLUMN. Exit code 0 or 2.",
        allow_abbrev=False,
    )
    check.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help="configuration file; none: the embedded default"
    )
    check.add_argument(
        "--print",
        dest="shows_effective",
        action="store_true",
        help="print the effective configuration with the origin of each value, secrets masked",
    )


def _add_doctor(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    doctor = commands.add_parser(
        "doctor",
        help="measure what stands between callers and a running proxy",
        description="Stream the simulated model through a public address, and say whether something on the way buffers, "
        "compresses, cuts silent connections, hides that callers leave, or swallows what nobody reads. Takes as long as "
        "the longest silence. Exit code 0: nothing wrong, 1: something is. The proxy must serve the model.",
        allow_abbrev=False,
    )
    doctor.add_argument(
        "url",
        metavar="URL",
        nargs="?",
        default="http://127.0.0.1:8080",
        help="what callers use, with or without /v1 (default: http://127.0.0.1:8080)",
    )
    doctor.add_argument("--key-env", metavar="VAR", help="the environment variable that holds a caller's key")
    doctor.add_argument("--model", default="demo", help="the name of the simulated model (default: demo)")
    doctor.add_argument(
        "--silence",
        type=_seconds,
        default=20.0,
        metavar="S",
        help="how long streams are silent (default: 20, longer than the default heartbeat_s)",
    )
    doctor.add_argument(
        "--pause", type=_seconds, default=3.0, metavar="S", help="how long a large answer is not read (default: 3)"
    )
    doctor.add_argument("--json", dest="is_json", action="store_true", help="print JSON")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError(f"expected seconds, at most 3600, got {text!r}")
    return seconds


def _workers(text: str) -> str:
    if re.fullmatch(r"[0-9]{1,3}", text) is None:
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 to 256, got {text!r}")
    return text


if __name__ == "__main__":
    sys.exit(main())
