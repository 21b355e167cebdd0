"""One attempt: what is sent upstream, and what of a refusal reaches the caller. Whole attempts are in tests/e2e."""

import msgspec
import pytest

from proxy.attempt import Asking, Call, build_request, names_credential, seconds_until_date
from proxy.auth import ANONYMOUS
from proxy.config import Sources, load
from proxy.dialects import DIALECTS
from proxy.dialects.base import CallParams, Operation
from proxy.routing import ResolvedTarget, Router

BODY = msgspec.json.encode({"model": "chat", "messages": [{"role": "user", "content": "hi"}], "seed": 7, "vendor_x": 1})


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ResolvedTarget]:
    """A target of each kind, by the kind's name."""
    file = tmp_path_factory.mktemp("config") / "proxy.yaml"
    kinds = ("openai_chat", "anthropic")
    providers = [f"- {{name: {kind}, kind: {kind}, base_url: 'http://a.example', api_key: none}}" for kind in kinds]
    file.write_text("providers:\n" + "\n".join(providers) + "\nmodels: []\n")
    router = Router(load(Sources(file, environ={})).config, {})
    return {kind: router.resolve(f"{kind}/upstream-model", ANONYMOUS).targets[0] for kind in kinds}


@pytest.fixture
def call() -> Call:
    dialect = DIALECTS["openai_chat"]
    params = CallParams({}, {}, {})
    return Call(dialect, Operation.GENERATE, BODY, params, dialect.envelope(BODY, params))


def test_the_same_api_gets_the_callers_own_bytes_with_its_model(call: Call, targets: dict[str, ResolvedTarget]) -> None:
    request = build_request(call, targets["openai_chat"], Asking())

    assert request.body == BODY.replace(b'"chat"', b'"upstream-model"')
    assert call.is_native(targets["openai_chat"])


def test_another_api_gets_a_converted_request_and_the_loss_is_named(
    call: Call, targets: dict[str, ResolvedTarget]
) -> None:
    request = build_request(call, targets["anthropic"], Asking())

    assert msgspec.json.decode(request.body)["model"] == "upstream-model"
    assert b"vendor_x" not in request.body
    assert "seed" in request.dropped
    assert not call.is_native(targets["anthropic"])


def test_a_continued_answer_ends_the_request_with_what_was_delivered(
    call: Call, targets: dict[str, ResolvedTarget]
) -> None:
    request = build_request(call, targets["openai_chat"], Asking(prefill="so far"))

    assert msgspec.json.decode(request.body)["messages"][-1] == {"role": "assistant", "content": "so far"}


@pytest.mark.parametrize(
    ("text", "key", "names"),
    [
        ("bad key sk-12345678901234", "sk-12345678901234", True),
        ("bad key sk-1234567*******", "sk-1234567890wxyz", True),
        ("bad key ****wxyz", "sk-1234567890wxyz", True),
        ("bad key", "sk-1234567890wxyz", False),
        ("short shown", "short", True),
        ("anything", None, False),
    ],
)
def test_an_error_that_shows_a_part_of_the_key_is_known(text: str, key: str | None, names: bool) -> None:
    assert names_credential(text, key) is names


@pytest.mark.parametrize(
    ("retry_after", "date", "seconds"),
    [
        ("Sun, 06 Nov 1994 08:49:47 GMT", "Sun, 06 Nov 1994 08:49:37 GMT", 10),
        ("Sun, 06 Nov 1994 08:49:47 -0000", "Sun, 06 Nov 1994 08:49:37 GMT", 10),
        ("Sun, 06 Nov 1994 08:49:17 GMT", "Sun, 06 Nov 1994 08:49:37 GMT", 0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", "", 0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", "yesterday", 0),
        ("soon", "Sun, 06 Nov 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 99999999999999999999 08:49:37 GMT", "", None),
        ("", "", None),
    ],
)
def test_a_date_to_retry_after_is_so_many_seconds(retry_after: str, date: str, seconds: float | None) -> None:
    assert seconds_until_date(retry_after, date) == seconds
