"""A secret shows where it came from, never what it is."""

from pathlib import Path

import pytest

from proxy.config.secret import Secret, SecretUnavailableError, is_reference, key_digest, resolve_reference

VALUE = "canary-0123456789"


def test_no_rendering_shows_the_value() -> None:
    for secret in (Secret("env:NAME", VALUE), Secret(VALUE, VALUE, is_literal=True)):
        for text in (repr(secret), str(secret), f"{secret}", "%s" % secret, repr({"key": [secret]})):  # noqa: UP031
            assert VALUE not in text
    assert repr(Secret("env:NAME", VALUE)) == "Secret(env:NAME)"


def test_equal_secrets_are_equal_and_hash_alike() -> None:
    assert Secret("env:A", "x") == Secret("env:A", "x")
    assert hash(Secret("env:A", "x")) == hash(Secret("env:A", "x"))
    assert Secret("env:A", "x") != Secret("env:A", "y")
    assert Secret("env:A", "x") != "x"


def test_a_variable_is_read_without_the_blanks_around_it() -> None:
    assert resolve_reference("env:NAME", {"NAME": f" {VALUE}\n"}, Path()).reveal() == VALUE


def test_a_file_is_read_without_its_last_line_end(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(VALUE + "\n")

    assert resolve_reference("file:key", {}, tmp_path).reveal() == VALUE
    assert resolve_reference(f"file:{tmp_path}/key", {}, Path("/elsewhere")).reveal() == VALUE


@pytest.mark.parametrize("text", [f"env:{VALUE}", "env:", "file:", "", "${", f"ENV:{VALUE}", f"{VALUE}\n"])
def test_what_is_no_reference_is_refused_without_being_shown(text: str, tmp_path: Path) -> None:
    with pytest.raises(SecretUnavailableError) as caught:
        resolve_reference(text, {}, tmp_path)

    assert VALUE not in str(caught.value)


def test_other_text_is_the_secret_itself() -> None:
    secret = resolve_reference(VALUE, {}, Path())

    assert secret.reveal() == VALUE
    assert secret.is_reference
    assert VALUE not in repr(secret)


@pytest.mark.parametrize("text", ["$NAME", "${NAME}", "${env:NAME}", "os.environ/NAME", "%NAME%"])
def test_other_tools_references_get_ours_suggested(text: str) -> None:
    assert is_reference(text)
    with pytest.raises(SecretUnavailableError, match=r"did you mean 'env:NAME'\?"):
        resolve_reference(text, {"NAME": VALUE}, Path())


def test_the_digest_takes_any_text() -> None:
    assert key_digest("a").hex().startswith("ca978112")
    assert len(key_digest("\udc80")) == 32
