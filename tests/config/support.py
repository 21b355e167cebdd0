"""Loading configurations from text, in a folder and an environment that hold nothing else."""

from collections.abc import Mapping
from pathlib import Path

from proxy.config import Flag, Loaded, Sources, load
from proxy.hub.errors import ConfigError

KINDS = frozenset({"openai_chat", "openai_responses", "anthropic", "gemini", "ollama", "demo"})

CANARY = "canary-0123456789"
"""Part of every secret here: must never show."""

ENVIRON = {
    "EMPTY": "",
    "TWO_LINES": f"a\nb {CANARY}",
    "GOOD_KEY": f"{CANARY}-good",
    "OTHER_KEY": f"{CANARY}-other",
    "SHORT": "abc",
}


def load_text(
    text: str, folder: Path, environ: Mapping[str, str] | None = None, flags: tuple[Flag, ...] = ()
) -> Loaded:
    """What `text` loads as. Raises ConfigError; problems name the file `f.yaml`."""
    file = folder / "f.yaml"
    file.write_text(text)
    try:
        return load(Sources(file, flags, ENVIRON if environ is None else environ), kinds=KINDS)
    except ConfigError as fault:
        raise ConfigError([problem.replace(f"{folder}/", "") for problem in fault.problems]) from None


def problems_of(
    text: str, folder: Path, environ: Mapping[str, str] | None = None, flags: tuple[Flag, ...] = ()
) -> list[str]:
    """Every problem of `text`; none when it loads. Those of the file itself begin with `LINE:COLUMN: `."""
    try:
        load_text(text, folder, environ, flags)
    except ConfigError as fault:
        assert CANARY not in str(fault), "a secret is in a message"
        return [problem.removeprefix("f.yaml:") for problem in fault.problems]
    return []
