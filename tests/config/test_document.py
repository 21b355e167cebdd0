"""YAML read strictly: what readers disagree on is refused with a suggestion, and nothing grows without bounds."""

import math
from pathlib import Path

import pytest

from proxy.config.document import (
    MAX_FILE_BYTES,
    AmbiguousScalarError,
    Items,
    Node,
    Scalar,
    Table,
    Value,
    parse_document,
    read_document,
    read_plain,
)
from proxy.config.problems import Origin, Problems
from tests.config.support import problems_of

CASES: dict[str, tuple[str, list[str]]] = {
    "yes": (
        "log:\n  access: yes\n",
        [
            "2:11: log.access: 'yes' is a truth value to some YAML readers and text to others; write true, or quote it",
        ],
    ),
    "octal": (
        "heartbeat_s: 0015\n",
        [
            "1:14: heartbeat_s: '0015' has a leading zero, which makes it octal to some YAML readers; write 15,"
            " or quote it",
        ],
    ),
    "underscores": (
        "limits: {max_streams: 10_000}\n",
        [
            "1:23: limits.max_streams: '10_000' is a number only to some YAML readers; write 10000, or quote it",
        ],
    ),
    "base_sixty": (
        "default_model: 12:30\n",
        [
            "1:16: default_model: '12:30' is a number in base 60 to some YAML readers; quote it",
        ],
    ),
    "duplicate_key": (
        "timeouts:\n  idle_s: 3\n  idle_s: 4\n",
        [
            "3:3: timeouts.idle_s: given twice; the first is in line 2",
        ],
    ),
    "second_document": (
        "workers: 1\n---\nworkers: 2\n",
        [
            "2:1: expected a single document, got another one",
        ],
    ),
    "tab": (
        "timeouts:\n\tidle_s: 3\n",
        [
            "2:1: found a tab; indent with spaces",
        ],
    ),
    "unclosed": (
        "cors: {origins: [a\n",
        [
            "2:1: not valid YAML: expected ',' or ']', but got '<stream end>' (while parsing a flow sequence)",
        ],
    ),
    "control_character": (
        "default_model: a\ab\n",
        [
            "1:17: expected printable text, got a control character",
        ],
    ),
    "top_level_list": (
        "- a\n",
        [
            "1:1: expected keys and values at the top of the file, such as `listen: 127.0.0.1:8080`",
        ],
    ),
    "merge_key": (
        "a: &a {idle_s: 3}\ntimeouts:\n  <<: *a\n",
        [
            "1:1: a: unknown key 'a'; known here: listen, workers, reuse_port, event_loop, admin, default_model, auth, providers,"
            " models, timeouts, retry, breaker, on_cut, heartbeat_s, coalesce, limits, resume, usage, cors,"
            " log, metrics, traces, drain",
            "3:3: timeouts: merge keys (`<<`) are not accepted; write the keys out",
        ],
    ),
    "tag": (
        "default_model: !!python/object:os.system x\n",
        [
            "1:16: default_model: tags such as 'tag:yaml.org,2002:python/object:os.system' are not accepted",
        ],
    ),
    "unknown_alias": (
        "timeouts: *t\n",
        [
            "1:11: timeouts: the alias '*t' has no anchor before it",
        ],
    ),
    "recursive_alias": (
        "timeouts: &t\n  idle_s: *t\n",
        [
            "2:11: timeouts.idle_s: the alias '*t' has no anchor before it",
        ],
    ),
    "complex_key": (
        "? [a, b]\n: 1\n",
        [
            "1:3: expected a key that is a single word",
        ],
    ),
}


@pytest.mark.parametrize(("text", "problems"), CASES.values(), ids=CASES)
def test_what_is_not_plain_yaml_is_reported_where_it_stands(text: str, problems: list[str], tmp_path: Path) -> None:
    assert problems_of(text, tmp_path) == problems


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("False", False),
        ("0", 0),
        ("-12", -12),
        ("0x1F", 31),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-.inf", -math.inf),
        ("127.0.0.1:8080", "127.0.0.1:8080"),
        ("2026-11-22", "2026-11-22"),
        ("gpt-4.1", "gpt-4.1"),
        ("env:NAME", "env:NAME"),
        ("1" * 40, float("1" * 40)),
    ],
)
def test_plain_scalars_are_read_as_yaml_1_2_says(text: str, value: Value) -> None:
    assert read_plain(text) == value


@pytest.mark.parametrize(
    "text", ["yes", "No", "ON", "off", "y", "N", "007", "-01", "0o17", "0b11", "1_0", "1:30", "12:30:59"]
)
def test_scalars_on_which_readers_disagree_are_refused(text: str) -> None:
    with pytest.raises(AmbiguousScalarError):
        read_plain(text)


def plain(node: Node) -> object:
    match node:
        case Scalar():
            return node.value
        case Items():
            return [plain(item) for item in node.items]
        case Table():
            return {key: plain(value) for key, value in node.entries.items()}


def parse(text: str) -> tuple[Table | None, list[str]]:
    problems = Problems()
    root = parse_document(text, "f.yaml", problems)
    return root, problems.lines()


def test_quoted_scalars_stay_text() -> None:
    root, problems = parse("a: \"yes\"\nb: '012'\nc: |\n  on\n")

    assert root is not None
    assert plain(root) == {"a": "yes", "b": "012", "c": "on\n"}
    assert problems == []


def test_every_value_and_key_knows_its_place() -> None:
    root, _ = parse("a:\n  - b: 1\n    c: [x, y]\n")

    assert root is not None
    items = root.entries["a"]
    assert isinstance(items, Items)
    table = items.items[0]
    assert isinstance(table, Table)
    assert table.keys["c"] == Origin("f.yaml", 3, 5)
    assert table.entries["c"].origin == Origin("f.yaml", 3, 8)
    assert str(table.origin) == "f.yaml:2:5"


def test_an_alias_is_a_copy_of_its_own() -> None:
    root, problems = parse("a: &t {x: [1]}\nb: *t\n")

    assert root is not None
    first, second = root.entries["a"], root.entries["b"]
    assert isinstance(first, Table) and isinstance(second, Table)
    first.put("x", Scalar(2, Origin("here")), Origin("here"))
    assert plain(second) == {"x": [1]}
    assert problems == []


def test_aliases_that_multiply_are_stopped() -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]

    root, problems = parse("\n".join(lines))

    assert root is None
    assert problems[0].endswith("more than 50000 values, aliases written out")


def test_deep_nesting_is_stopped() -> None:
    root, problems = parse("a: " + "[" * 5000)

    assert root is None
    assert problems == ["f.yaml:1:28: nested more than 24 deep"]


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    problems = Problems()

    assert read_document(file, "f.yaml", problems) is None
    assert problems.lines() == [f"f.yaml: the file is larger than {MAX_FILE_BYTES} bytes"]


def test_a_file_that_is_no_text_is_refused_at_its_first_bad_byte(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_bytes(b"# fine\nlisten: \xff\n")
    problems = Problems()

    assert read_document(file, "f.yaml", problems) is None
    assert problems.lines() == ["f.yaml:2:9: expected UTF-8 text"]


def test_a_missing_file_is_a_problem(tmp_path: Path) -> None:
    problems = Problems()

    assert read_document(tmp_path / "none.yaml", "none.yaml", problems) is None
    assert problems.lines() == ["none.yaml: the file cannot be read: No such file or directory"]


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "\ufeff"])
def test_an_empty_file_is_an_empty_section(text: str, tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(text, encoding="utf-8")
    problems = Problems()

    root = read_document(file, "f.yaml", problems)

    assert root is not None
    assert root.entries == {}
    assert problems.lines() == []
