"""Who is calling: keys in every place where SDKs put them, one refusal for all that is wrong, constant time."""

import hashlib
import hmac

import pytest

from proxy.auth import ANONYMOUS, Authenticator, Caller, refuse_other_models
from proxy.config import Auth, CallerKey, Config, Cors, Secret
from proxy.globs import AllowList
from proxy.hub.errors import CallerError, ErrorKind

KEY = "canary-0123456789-team-a"
NEXT_KEY = "canary-0123456789-team-a-next"
OTHER_KEY = "canary-0123456789-ci"


def secret(value: str) -> Secret:
    return Secret("env:KEY", value)


CONFIG = Config(
    auth=Auth(
        keys=(
            CallerKey("team-a", key=secret(KEY), models=("gpt-*",), max_streams=3, requests_per_minute=60),
            CallerKey("team-a", key=secret(NEXT_KEY), models=("gpt-*",), max_streams=3, requests_per_minute=60),
            CallerKey("ci", sha256=hashlib.sha256(OTHER_KEY.encode()).hexdigest().upper()),
        )
    )
)

WITH_KEY = {
    "bearer": ({"authorization": f"Bearer {KEY}"}, {}),
    "bearer_in_lower_case": ({"authorization": f"bearer  {KEY} "}, {}),
    "x-api-key": ({"x-api-key": KEY}, {}),
    "x-goog-api-key": ({"x-goog-api-key": KEY}, {}),
    "api-key": ({"api-key": KEY}, {}),
    "query": ({}, {"key": KEY}),
    "beside_another_key": ({"authorization": "Bearer sk-of-a-vendor", "x-api-key": KEY}, {}),
    "before_another_key": ({"authorization": f"Bearer {KEY}", "x-api-key": "sk-of-a-vendor"}, {}),
}

WITHOUT_KEY: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "nothing": ({}, {}),
    "unknown": ({"authorization": "Bearer nobody"}, {}),
    "empty": ({"authorization": "Bearer "}, {}),
    "no_token": ({"authorization": "Bearer"}, {}),
    "basic": ({"authorization": f"Basic {KEY}"}, {}),
    "bare": ({"authorization": KEY}, {}),
    "two_in_one": ({"authorization": f"Bearer {KEY},{KEY}"}, {}),
    "digest_itself": ({"x-api-key": hashlib.sha256(KEY.encode()).hexdigest()}, {}),
    "prefix": ({"x-api-key": KEY[:-1]}, {}),
    "longer": ({"x-api-key": KEY + "x"}, {}),
    "endless": ({"x-api-key": KEY * 1000}, {}),
    "surrogate": ({"x-api-key": "\udc80"}, {}),
    "in_another_parameter": ({}, {"api_key": KEY}),
}


@pytest.mark.parametrize(("headers", "query"), WITH_KEY.values(), ids=WITH_KEY)
def test_a_known_key_is_found_wherever_sdks_put_it(headers: dict[str, str], query: dict[str, str]) -> None:
    caller = Authenticator(CONFIG).authenticate(headers, query)

    assert caller.name == "team-a"
    assert (caller.max_streams, caller.requests_per_minute) == (3, 60)
    assert caller.may_use("gpt-5", "gpt-5")
    assert not caller.may_use("claude-4", "claude-4")


@pytest.mark.parametrize(("headers", "query"), WITHOUT_KEY.values(), ids=WITHOUT_KEY)
def test_every_refusal_is_the_same(headers: dict[str, str], query: dict[str, str]) -> None:
    with pytest.raises(CallerError) as caught:
        Authenticator(CONFIG).authenticate(headers, query)

    fault = caught.value
    assert (fault.kind, fault.code) == (ErrorKind.AUTHENTICATION, "invalid_api_key")
    assert fault.message == (
        "A valid key for this proxy is needed, as 'Authorization: Bearer KEY' or in the key header of your SDK."
    )
    assert fault.headers == {"www-authenticate": "Bearer"}


def test_keys_of_one_name_are_one_caller() -> None:
    authenticator = Authenticator(CONFIG)

    old = authenticator.authenticate({"x-api-key": KEY}, {})
    new = authenticator.authenticate({"x-api-key": NEXT_KEY}, {})

    assert old is new


def test_a_key_can_be_given_by_its_digest() -> None:
    assert Authenticator(CONFIG).authenticate({"x-api-key": OTHER_KEY}, {}).name == "ci"


def test_every_key_is_compared_in_constant_time_also_after_a_match(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    genuine = hmac.compare_digest

    def compare(known: bytes, given: bytes) -> bool:
        compared.append((known, given))
        return genuine(known, given)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    authenticator = Authenticator(CONFIG)

    authenticator.authenticate({"x-api-key": KEY}, {})
    with pytest.raises(CallerError):
        authenticator.authenticate({"x-api-key": "nobody"}, {})

    assert len(compared) == 2 * len(CONFIG.auth.keys)
    assert {len(digest) for pair in compared for digest in pair} == {32}


def test_without_keys_everybody_is_anonymous() -> None:
    assert Authenticator(Config()).authenticate({"x-api-key": "whatever"}, {}) is ANONYMOUS
    assert ANONYMOUS.may_use("anything", "anything")


def test_an_open_proxy_still_knows_its_keys() -> None:
    authenticator = Authenticator(Config(auth=Auth(keys=CONFIG.auth.keys, anonymous=True)))

    assert authenticator.authenticate({"x-api-key": KEY}, {}).name == "team-a"
    assert authenticator.authenticate({"x-api-key": "sk-of-a-vendor"}, {}) is ANONYMOUS
    assert authenticator.authenticate({}, {}) is ANONYMOUS


def test_no_key_is_kept() -> None:
    caller = Authenticator(CONFIG).authenticate({"x-api-key": KEY}, {})

    assert KEY not in repr(caller)
    assert KEY not in repr(vars(Authenticator(CONFIG)))
    assert isinstance(caller, Caller)


SOME = Caller("team", AllowList(("gpt-*",)))


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"gpt-5","models":["claude-opus-4-5"]}',
        b'{"model":"gpt-5","mod\\u0065ls":["claude-opus-4-5"]}',
        b'{"model":"gpt-5","fallbacks":[{"gpt-5":["x"]}]}',
        b'{"model":"gpt-5","preset":"p"}',
        b'{"messages":"\\ud83d","models":["x"]}',
        b'{"model":"gpt-5","Model":"claude-opus-4-5"}',
        b'{"model":"gpt-5","MOD\\u0045L":"claude-opus-4-5"}',
        b'{"model":"gpt-5","Models":["x"]}',
        '{"model":"gpt-5","model\u017f":["x"]}'.encode(),
        b'{"model":"gpt-5","models":["x"],"models":null}',
        b'{"model":"gpt-5","models":null,"mod\\u0065ls":["x"],"models":null}',
        b'{"model":"gpt-5","tools":[{"type":"function"},{"type":"advisor","model":"claude-opus-4-5"}]}',
        b'{"model":"gpt-5","tools":[7,{"model":8},{"type":"image_generation","mod\\u0065l":"dall-e-3"}]}',
    ],
)
def test_a_key_for_some_models_names_no_others_past_its_list(body: bytes) -> None:
    with pytest.raises(CallerError, match="may not name others") as refusal:
        refuse_other_models(SOME, body)

    assert refusal.value.kind is ErrorKind.PERMISSION
    refuse_other_models(ANONYMOUS, body)


@pytest.mark.parametrize(
    "body",
    [
        *(b'{"model":"gpt-5"}', b'{"models":null}', b'{"metadata":{"models":[1]}}', b"[", b"7", b'{"tools":7}'),
        b'{"tools":[{"model":"gpt-image-1"},{"function":{"parameters":{"model":"x"}}}]}',
    ],
)
def test_a_key_for_some_models_may_do_all_else(body: bytes) -> None:
    refuse_other_models(SOME, body)


LOCAL = {"host": "127.0.0.1:8080"}
EVIL = "https://evil.example"


@pytest.mark.parametrize(
    ("headers", "is_open"),
    [
        ({}, True),
        ({"host": "evil.example"}, True),  # no browser
        ({**LOCAL, "sec-fetch-site": "none"}, True),
        ({**LOCAL, "sec-fetch-site": "same-origin", "origin": "http://127.0.0.1:8080"}, True),
        ({"host": "localhost:8080", "sec-fetch-site": "same-site", "origin": "http://localhost:3000"}, True),
        ({"host": "proxy:8080", "sec-fetch-site": "same-origin"}, True),
        ({"host": "chat.localhost:8080", "sec-fetch-site": "same-origin"}, True),
        ({"host": "[::1]:8080", "origin": "http://[::1]:3000"}, True),
        ({**LOCAL, "sec-fetch-site": "cross-site", "origin": EVIL}, False),
        ({**LOCAL, "sec-fetch-site": "cross-site"}, False),
        ({**LOCAL, "origin": EVIL}, False),
        ({**LOCAL, "origin": "null"}, False),
        ({"host": "evil.example:8080", "sec-fetch-site": "same-origin", "origin": "http://evil.example:8080"}, False),
        ({"host": "evil.example:8080", "origin": "http://evil.example:8080"}, False),
        ({"host": "[", "sec-fetch-site": "same-origin"}, True),
        ({"host": "a.b[", "origin": "http://["}, True),
    ],
)
def test_without_a_key_only_pages_of_this_machine_may_call(headers: dict[str, str], is_open: bool) -> None:
    authenticator = Authenticator(Config())

    if is_open:
        assert authenticator.authenticate(headers, {}) is ANONYMOUS
        return
    with pytest.raises(CallerError) as refused:
        authenticator.authenticate(headers, {})
    assert (refused.value.kind, refused.value.code) == (ErrorKind.PERMISSION, "foreign_page")
    assert Authenticator(CONFIG).authenticate({**headers, "x-api-key": KEY}, {}).name == "team-a"


def test_pages_are_let_in_by_their_origin_and_by_the_name_that_a_front_keeps() -> None:
    named = Authenticator(Config(cors=Cors(origins=("https://app.example",))))
    everybody = Authenticator(Config(cors=Cors(origins=("*",))))
    remote = Authenticator(Config(listen="0.0.0.0:8080", auth=Auth(anonymous=True)))
    cross = {**LOCAL, "sec-fetch-site": "cross-site", "origin": "https://app.example"}
    kept = {"host": "app.example", "sec-fetch-site": "same-origin"}

    assert named.authenticate(cross, {}) is named.authenticate(kept, {}) is ANONYMOUS
    assert everybody.authenticate({**cross, "origin": EVIL}, {}) is ANONYMOUS
    assert remote.authenticate(kept, {}) is ANONYMOUS
