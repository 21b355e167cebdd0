"""Secrets are masked by value and by look; ordinary text stays."""

import pytest

from proxy.redaction import MASK, Redactor, mask_key_like

SECRET = 'p"w/\\+ö-canary'


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("key sk-abcdefghijklmnop0123 failed", f"key {MASK} failed"),
        ("sk-ant-api03-abcdefghijklmnop-xyz", MASK),
        ("gsk_abcdefghijklmnopqrstuv", MASK),
        ("AIzaSyA1234567890abcdefghijklmnop", MASK),
        ("AKIAABCDEFGHIJKLMNOP", MASK),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc_def", MASK),
        ("Authorization: Bearer abc.def", f"Authorization: Bearer {MASK}"),
        ("authorization: abcdef", f"authorization: {MASK}"),
        ("'authorization': 'Basic dXNlcjpwYXNz'", f"'authorization': 'Basic {MASK}'"),
        ("sent bearer abcdef on", f"sent bearer {MASK} on"),
        ("x-api-key: abc123", f"x-api-key: {MASK}"),
        ('{"api_key":"abc123"}', f'{{"api_key":"{MASK}"}}'),
        ("x-goog-api-key=abc123", f"x-goog-api-key={MASK}"),
        ("GET /v1/models?key=abcdef&alt=sse", f"GET /v1/models?key={MASK}&alt=sse"),
        ("redis://:hunter22@redis:6379/0", f"redis://:{MASK}@redis:6379/0"),
        ("http://me:hunter22@proxy:3128", f"http://me:{MASK}@proxy:3128"),
    ],
)
def test_what_looks_like_a_credential_is_masked(text: str, masked: str) -> None:
    assert mask_key_like(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:8080/v1",
        "api_key: env:OPENAI_API_KEY",
        "api_key: file:/run/secrets/key",
        "api_key: none",
        "providers[0].api_key: expected env:NAME or file:PATH",
        "the model sk-1 is short",
        "gpt-5-mini, claude-haiku-4-5",
        "task-force meeting at 10:30",
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    assert mask_key_like(text) == text


def test_secrets_are_masked_by_value_in_the_forms_that_urls_and_json_give_them() -> None:
    redactor = Redactor([SECRET, "the-second-secret"])

    for form in (SECRET, "p%22w%2F%5C%2B%C3%B6-canary", 'p\\"w/\\\\+ö-canary'):
        assert redactor.redact(f"<{form}>") == f"<{MASK}>"
    assert redactor.redact("the-second-secret!") == f"{MASK}!"


def test_a_secret_that_contains_another_is_masked_whole() -> None:
    assert Redactor(["abcdefgh", "abcdefghijkl"]).redact("abcdefghijkl") == MASK


def test_placeholders_of_local_servers_do_not_garble_texts() -> None:
    assert Redactor(["ollama", ""]).redact("ask ollama") == "ask ollama"
