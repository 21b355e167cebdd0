"""House rules that no other tool checks. They judge what is committed, so work in progress does not disturb them."""

import ast
import fnmatch
import importlib
import itertools
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from enum import Enum
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import pytest

from tests.support.corpus import ABSENT, KIND, OLDER_APIS, WITHOUT_KIND, all_recordings

ROOT = Path(__file__).parents[1]

MOST_LINES = 600
MOST_FUNCTION_LINES = 60

TOP_LEVEL = {
    ".ci",
    ".dockerignore",
    ".editorconfig",
    ".github",
    ".gitignore",
    ".pre-commit-config.yaml",
    "Dockerfile",
    "LICENSE",
    "README.md",
    "config",
    "helm",
    "proxy",
    "pyproject.toml",
    "requirements-dev.lock",
    "requirements.lock",
    "tests",
}

WITHOUT_TESTS = {
    "proxy/__init__.py": "the version",
    "proxy/__main__.py": "one call; tests of the commands start it",
    "proxy/*/__init__.py": "registries and re-exports, used by every suite of their folder",
    "proxy/*/wire.py": "a vendor's fields as plain structs; tests of the codec read and write them",
    "proxy/demo/*.py": "what it does is seen over sockets only: tests/demo",
    "proxy/dialects/base.py": "protocols and plain structs",
    "proxy/dialects/canonical_snapshots.py": "a part of the canonical stream, and tested with it",
    "proxy/doctor/symptoms.py": "plain structs; every test of the judge makes them",
    "proxy/hub/codec.py": "protocols only",
    "proxy/hub/request.py": "plain structs without behaviour",
    "proxy/providers/base.py": "protocols and plain structs",
    "proxy/providers/quirks.py": "one plain struct; each quirk is tested where it acts",
    "proxy/server/*.py": "what it does is seen over sockets only: tests/e2e",
}
"""Glob patterns of modules without a test file of their own, and why."""

VAGUE_NAMES = {"common", "helper", "helpers", "manager", "misc", "util", "utils"}

REGISTRIES = re.compile(
    "|".join((r"pypi\." + "org", "python" + "hosted", r"registry\." + "npmjs", r"deb\." + "debian"))
)
MACHINE_PATHS = re.compile(r"(^|[^a-zA-Z.])/(work|farm)/[a-z.]|bash" + "_jobs|/(root|home)/[a-z.]")


@cache
def tracked() -> tuple[Path, ...]:
    """Every committed file, relative to the root."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout.split("\0")
    return tuple(Path(name) for name in listed if name and (ROOT / name).is_file())


def python_files(*folders: str) -> list[Path]:
    return [path for path in tracked() if path.suffix == ".py" and path.parts[0] in folders]


def text_of(path: Path) -> str:
    return (ROOT / path).read_text()


def text_lines() -> Iterator[tuple[Path, int, str]]:
    for path in tracked():
        content = (ROOT / path).read_bytes()
        if b"\0" in content:
            continue
        for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
            yield path, number, line


def places(pattern: re.Pattern[str]) -> list[str]:
    return [f"{path}:{number}: {line.strip()[:100]}" for path, number, line in text_lines() if pattern.search(line)]


def modules() -> list[str]:
    return sorted(
        ".".join(path.with_suffix("").parts).removesuffix(".__init__")
        for path in python_files("proxy")
        if path.name != "__main__.py"
    )


# --- layout


def test_top_level_holds_only_what_belongs_there() -> None:
    assert {path.parts[0] for path in tracked()} <= TOP_LEVEL


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert [path for path in python_files("proxy", "tests") if path.stem in VAGUE_NAMES] == []


def test_no_file_is_too_long() -> None:
    lengths = {str(path): len(text_of(path).splitlines()) for path in python_files("proxy", "tests")}

    assert {path: length for path, length in lengths.items() if length > MOST_LINES} == {}


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, without the docstring."""
    first = function.body[0]
    docstring = 0
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        docstring = (first.end_lineno or first.lineno) - first.lineno + 1
    return (function.end_lineno or function.lineno) - function.lineno + 1 - docstring


def test_no_function_is_too_long() -> None:
    long = [
        f"{path}:{node.lineno} {node.name}: {code_lines(node)} lines"
        for path in python_files("proxy", "tests")
        for node in ast.walk(ast.parse(text_of(path)))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and code_lines(node) > MOST_FUNCTION_LINES
    ]

    assert long == []


def mirrors(path: Path) -> set[Path]:
    """Where the tests of a module may stand: in a file of its own, or in one for its package."""
    folders = path.parts[1:-1]
    found = {Path("tests", *folders, f"test_{path.stem}.py")}
    if len(folders) > 1:
        found.add(Path("tests", folders[0], f"test_{'_'.join([*folders[1:], path.stem])}.py"))
        found.add(Path("tests", folders[0], f"test_{'_'.join(folders[1:])}.py"))
    return found


def is_excused(path: Path) -> bool:
    return any(fnmatchcase(str(path), pattern) for pattern in WITHOUT_TESTS)


def test_every_module_has_its_tests_where_one_looks_for_them() -> None:
    present = set(tracked())

    assert [str(path) for path in python_files("proxy") if not is_excused(path) and not present & mirrors(path)] == []


def test_excuses_speak_of_modules_that_exist() -> None:
    paths = [str(path) for path in python_files("proxy")]

    assert [pattern for pattern in WITHOUT_TESTS if not fnmatch.filter(paths, pattern)] == []


def root_modules() -> set[str]:
    """Modules and folders directly in proxy/, but for the pure ones."""
    names = {path.parts[1].removesuffix(".py") for path in python_files("proxy")}
    return {name for name in names if not name.startswith("__")} - {"hub", "framing", "dialects", "providers"}


def test_the_pure_folders_are_closed_to_every_module_of_the_root() -> None:
    contracts = tomllib.loads(text_of(Path("pyproject.toml")))["tool"]["importlinter"]["contracts"]
    [contract] = [one for one in contracts if one["name"] == "the four pure folders know nothing of the root"]

    assert set(contract["forbidden_modules"]) == {f"proxy.{name}" for name in root_modules()}


def test_the_map_shows_every_module_of_the_root() -> None:
    shown = set(re.findall(r"\b([a-z_]+)(?:\.py\b|/)", text_of(Path("proxy/README.md"))))

    assert sorted(root_modules() - shown) == []


# --- what must not be committed


def test_no_registry_is_named() -> None:
    assert places(REGISTRIES) == []


def test_no_path_of_a_machine_is_named() -> None:
    assert places(MACHINE_PATHS) == []


@pytest.mark.parametrize(
    "pattern",
    [r"#\s*type:\s*ignore(?!\[)", r"#\s*noqa(?!:)", r"#\s*pyright:\s*ignore(?!\[)", r"\b(TODO|FIXME|XXX)\b"],
)
def test_no_silenced_check_without_a_code_and_no_unfinished_work(pattern: str) -> None:
    found = re.compile(pattern)

    assert [
        f"{path}:{number}"
        for path, number, line in text_lines()
        if path.suffix == ".py" and path.parts[0] == "proxy" and found.search(line)
    ] == []


def test_any_is_used_only_in_tests() -> None:
    assert [
        f"{path}:{node.lineno}"
        for path in python_files("proxy")
        for node in ast.walk(ast.parse(text_of(path)))
        if isinstance(node, ast.ImportFrom)
        and node.module == "typing"
        and any(alias.name == "Any" for alias in node.names)
    ] == []


# --- tables


def docstrings(name: str) -> dict[str, str]:
    """Of each name assigned in a module, the string that stands below it."""
    file = ROOT / (name.replace(".", "/") + ".py")
    body = ast.parse((file if file.exists() else file.with_suffix("") / "__init__.py").read_text()).body
    found: dict[str, str] = {}
    for statement, following in itertools.zip_longest(body, body[1:]):
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        text = following.value if isinstance(following, ast.Expr) else None
        docstring = text.value if isinstance(text, ast.Constant) and isinstance(text.value, str) else ""
        found.update({target.id: docstring for target in targets if isinstance(target, ast.Name)})
    return found


SAYS_WHAT_ABSENCE_MEANS = re.compile(
    r"\b(other|others|else|every|any|absent|missing|rest|default|not listed|only)\b", re.I
)


@pytest.mark.parametrize("name", modules())
def test_tables_keyed_by_an_enum_are_total_or_say_what_absence_means(name: str) -> None:
    module = importlib.import_module(name)
    unclear: dict[str, list[str]] = {}
    for attribute, docstring in docstrings(name).items():
        table = getattr(module, attribute, None)
        kinds = {type(key) for key in table} if isinstance(table, dict) else set()
        if len(kinds) != 1 or not issubclass(kind := kinds.pop(), Enum):
            continue
        missing = sorted(member.name for member in kind if member not in table)
        if missing and not SAYS_WHAT_ABSENCE_MEANS.search(docstring):
            unclear[attribute] = missing

    assert unclear == {}


def test_every_recorded_format_has_a_kind_or_a_reason() -> None:
    found = {recording.dialect for recording in all_recordings()}
    if not found:
        pytest.skip(ABSENT)

    assert found == set(KIND) | set(WITHOUT_KIND)
    assert {folder for folder, _ in OLDER_APIS} <= found


# --- locks


def pins(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==([^ ]+)", text_of(Path(name)), flags=re.MULTILINE))


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_every_locked_version_has_hashes(name: str) -> None:
    entries = re.split(r"^(?=[a-z0-9-]+==)", text_of(Path(name)), flags=re.MULTILINE)[1:]

    assert entries
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_developers_and_servers_run_the_same_versions() -> None:
    development = pins("requirements-dev.lock")

    assert {name: development.get(name) for name in pins("requirements.lock")} == pins("requirements.lock")


# --- README


def readme() -> str:
    return text_of(Path("README.md"))


def test_readme_names_the_test_command_that_the_gate_runs() -> None:
    assert text_of(Path(".ci/test-command")).strip() in readme()


def test_commands_in_the_readme_exist() -> None:
    named = set(re.findall(r"(?:llm-stream-proxy|python -m proxy) ([a-z]+)\b", "\n".join(fenced_blocks(readme()))))

    for command in sorted(named):
        ran = subprocess.run([sys.executable, "-m", "proxy", command, "--help"], cwd=ROOT, capture_output=True)
        assert ran.returncode == 0, command


def fenced_blocks(markdown: str) -> list[str]:
    return re.findall(r"^```[a-z]*\n(.*?)^```", markdown, flags=re.MULTILINE | re.DOTALL)


def test_files_named_in_the_readme_exist() -> None:
    named = set(re.findall(r"[`(]((?:proxy|tests|config|helm|\.ci)/[A-Za-z0-9_./-]*)[`)]", readme()))

    assert sorted(path for path in named if not (ROOT / path).exists()) == []
