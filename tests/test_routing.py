"""From a model name to its targets: what wins, what a key may ask for, and what a target carries."""

from collections.abc import Iterator, Mapping
from typing import cast

import pytest

from proxy import routing
from proxy.auth import ANONYMOUS, Caller
from proxy.config import (
    Auth,
    CallerKey,
    Config,
    Limits,
    Model,
    ModelTarget,
    Provider,
    Secret,
    TimeoutOverrides,
    Timeouts,
    Tls,
)
from proxy.credentials import presented
from proxy.globs import AllowList
from proxy.hub.errors import CallerError, ConfigError, ErrorKind
from proxy.presets import PRESETS
from proxy.providers.base import Provider as ProviderKind
from proxy.providers.quirks import Quirks
from proxy.routing import MAX_REMEMBERED, Router, spoken_kinds
from proxy.upstream.endpoint import ProxyServer, TlsSettings


class Kind:
    """A provider kind, as far as routing looks at it."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.native_dialect = kind

    def auth_headers(self, key: str) -> Mapping[str, str]:
        return {"authorization": f"Bearer {key}"}


@pytest.fixture(autouse=True)
def kinds(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    names = ("openai_chat", "openai_responses", "anthropic", "gemini", "ollama")
    # Only what `Kind` has is looked at.
    monkeypatch.setattr(routing, "PROVIDERS", {name: cast(ProviderKind, Kind(name)) for name in names})
    yield


OPENAI = Provider(
    "openai", kind="openai_chat", base_url="https://api.openai.com/v1", api_key=Secret("env:K", "canary-openai")
)
ANTHROPIC = Provider("anthropic", kind="anthropic", base_url="https://api.anthropic.com/v1")
LAB = Provider("lab", kind="openai_chat", base_url="http://10.0.0.7:8000/v1/", api_key=Secret("none", ""))


def model(name: str, *targets: ModelTarget) -> Model:
    return Model(name, targets)


CONFIG = Config(
    providers=(OPENAI, ANTHROPIC, LAB),
    models=(
        model(
            "fast", ModelTarget("openai", "gpt-5-mini", 400_000), ModelTarget("anthropic", "claude-haiku", prefill=True)
        ),
        model("gpt-*", ModelTarget("openai")),
        model("gpt-5-*", ModelTarget("lab")),
        model("gpt-5-nano", ModelTarget("anthropic")),
        model("team-*", ModelTarget("openai", "gpt-5-pro")),
        model("claude-opus-4[1m]", ModelTarget("anthropic")),
        model("lab/secret", ModelTarget("openai")),
        model("*", ModelTarget("lab")),
    ),
)


def sent(router: Router, name: str, caller: Caller = ANONYMOUS) -> list[str]:
    """`provider/model` of each target."""
    return [f"{one.target.provider}/{one.target.model}" for one in router.resolve(name, caller).targets]


@pytest.mark.parametrize(
    ("asked", "alias", "targets"),
    [
        ("fast", "fast", ["openai/gpt-5-mini", "anthropic/claude-haiku"]),
        ("gpt-5-nano", "gpt-5-nano", ["anthropic/gpt-5-nano"]),
        ("gpt-5-mini", "gpt-5-*", ["lab/gpt-5-mini"]),
        ("gpt-4", "gpt-*", ["openai/gpt-4"]),
        ("team-red", "team-*", ["openai/gpt-5-pro"]),
        ("other", "*", ["lab/other"]),
        ("openai/gpt-5", "openai/*", ["openai/gpt-5"]),
        ("lab/meta-llama/Llama-3", "lab/*", ["lab/meta-llama/Llama-3"]),
        ("lab/secret", "lab/secret", ["openai/lab/secret"]),
        ("meta-llama/Llama-3", "*", ["lab/meta-llama/Llama-3"]),
        ("claude-opus-4[1m]", "claude-opus-4[1m]", ["anthropic/claude-opus-4[1m]"]),
        ("openai/", "*", ["lab/openai/"]),
        ("FAST", "*", ["lab/FAST"]),
    ],
)
def test_the_most_exact_entry_wins(asked: str, alias: str, targets: list[str]) -> None:
    router = Router(CONFIG, {})

    assert router.resolve(asked, ANONYMOUS).alias == alias
    assert sent(router, asked) == targets


def test_an_exact_name_is_worked_out_once() -> None:
    router = Router(CONFIG, {})

    assert router.resolve("fast", ANONYMOUS) is router.resolve("fast", ANONYMOUS)


def test_an_unknown_model_lists_what_there_is_and_what_was_meant() -> None:
    router = Router(Config(providers=(OPENAI,), models=(model("fast", ModelTarget("openai")),)), {})

    with pytest.raises(CallerError) as caught:
        router.resolve("fsat", ANONYMOUS)

    fault = caught.value
    assert (fault.kind, fault.code, fault.param) == (ErrorKind.NOT_FOUND, "model_not_found", "model")
    assert fault.message == "The model 'fsat' does not exist here. Did you mean 'fast'? Available: fast."


def test_at_most_twenty_names_are_listed() -> None:
    models = tuple(model(f"model-{number}", ModelTarget("openai")) for number in range(30))

    with pytest.raises(CallerError) as caught:
        Router(Config(providers=(OPENAI,), models=models), {}).resolve("zzz", ANONYMOUS)

    assert caught.value.message.endswith("model-19 and 10 more.")


@pytest.mark.parametrize("asked", [None, ""])
def test_no_model_and_no_default_is_a_bad_request(asked: str | None) -> None:
    with pytest.raises(CallerError) as caught:
        Router(CONFIG, {}).resolve(asked, ANONYMOUS)

    assert (caught.value.kind, caught.value.code) == (ErrorKind.INVALID_REQUEST, "model_missing")


@pytest.mark.parametrize("asked", ["a\nb", "a\x00", "gpt-5 ", " gpt-5", "x" * 257, "a\u2028b", "\udc80"])
def test_odd_names_are_refused_before_anything_looks_at_them(asked: str) -> None:
    with pytest.raises(CallerError) as caught:
        Router(CONFIG, {}).resolve(asked, ANONYMOUS)

    assert (caught.value.kind, caught.value.code) == (ErrorKind.INVALID_REQUEST, "model_invalid")
    assert asked not in caught.value.message


# --- what a key may ask for


def caller(*globs: str) -> Caller:
    return Caller("team", AllowList(globs))


@pytest.mark.parametrize(
    ("globs", "asked", "allowed"),
    [
        (("fast",), "fast", True),
        (("fast",), "gpt-4", False),
        (("fast",), "openai/gpt-5-mini", False),
        (("gpt-*",), "gpt-4", True),
        (("gpt-*",), "gpt-5-mini", True),
        (("gpt-*",), "openai/gpt-4", False),
        (("team-*",), "team-red", True),
        (("openai/*",), "openai/gpt-4", True),
        (("openai/*",), "gpt-4", False),
        (("openai/*",), "lab/gpt-4", False),
        (("o*",), "openai/gpt-4", False),
        (("*",), "openai/gpt-4", True),
        (("gpt-*",), "Gpt-4", False),
        ((), "fast", False),
    ],
)
def test_an_allow_list_holds_for_names_patterns_and_providers(
    globs: tuple[str, ...], asked: str, allowed: bool
) -> None:
    router = Router(CONFIG, {})

    if allowed:
        assert router.resolve(asked, caller(*globs)).targets
        return
    with pytest.raises(CallerError) as caught:
        router.resolve(asked, caller(*globs))
    assert (caught.value.kind, caught.value.code) == (ErrorKind.PERMISSION, "model_not_allowed")


def test_a_refused_model_does_not_tell_whether_it_exists() -> None:
    router = Router(Config(providers=(OPENAI,), models=(model("fast", ModelTarget("openai")),)), {})
    messages = []
    for name in ("fast", "slow"):
        with pytest.raises(CallerError) as caught:
            router.resolve(name, caller("other"))
        messages.append(caught.value.message.replace(name, "NAME"))

    assert messages[0] == messages[1]


def test_what_the_callers_text_makes_of_the_target_is_what_was_allowed() -> None:
    router = Router(CONFIG, {})
    allowed = AllowList(("gpt-*", "lab/*"))

    for asked in ("gpt-4", "gpt-5-x", "lab/anything"):
        for target in router.resolve(asked, Caller("team", allowed)).targets:
            name = target.target.model
            assert allowed.allows(name, name) or allowed.allows(f"{target.target.provider}/{name}", name)


def test_a_caller_sees_the_models_that_it_may_use() -> None:
    router = Router(CONFIG, {})

    assert router.models_visible_to(ANONYMOUS) == [entry.name for entry in CONFIG.models]
    assert router.models_visible_to(caller("fast", "gpt-5-*")) == ["fast", "gpt-*", "gpt-5-*", "gpt-5-nano", "*"]
    assert router.models_visible_to(caller("openai/*")) == ["*"]


def test_a_provider_can_be_asked_for_by_name() -> None:
    router = Router(CONFIG, {})

    assert router.resolve_provider("lab", ANONYMOUS).endpoint.host == "10.0.0.7"
    assert router.resolve_provider("openai", caller("openai/*")).target.provider == "openai"


@pytest.mark.parametrize(
    ("name", "who", "code"),
    [
        ("nobody", ANONYMOUS, "provider_not_found"),
        ("nobody", caller("fast"), "provider_not_allowed"),
        ("openai", caller("fast"), "provider_not_allowed"),
        ("openai", caller("gpt-*"), "provider_not_allowed"),
        ("openai", caller("openai/gpt-*"), "provider_not_allowed"),
        ("openai", caller("lab/*"), "provider_not_allowed"),
    ],
)
def test_a_whole_provider_needs_a_key_for_all_of_it(name: str, who: Caller, code: str) -> None:
    with pytest.raises(CallerError) as caught:
        Router(CONFIG, {}).resolve_provider(name, who)

    assert caught.value.code == code


# --- what a target carries


def test_a_target_has_everything_needed_to_ask_it() -> None:
    provider = Provider(
        "openai",
        kind="openai_chat",
        base_url="https://a.example/v1/",
        api_key=Secret("env:K", "canary-key"),
        headers={"X-Team": Secret("a", "a", is_literal=True)},
        quirks=Quirks(top_k=True),
        timeouts=TimeoutOverrides(idle_s=99),
        tls=Tls(ca_file="/ca.pem"),
        proxy=Secret("http://p:3128", "http://p:3128", is_literal=True),
        max_tokens=77,
    )
    config = Config(
        providers=(provider,),
        models=(model("a", ModelTarget("openai", "b", 1000, prefill=True)),),
        timeouts=Timeouts(total_s=50, caller_stall_s=3),
        limits=Limits(max_frame_bytes=4096),
    )

    (target,) = Router(config, {}).resolve("a", ANONYMOUS).targets

    assert target.provider.kind == "openai_chat"
    assert (target.target.provider, target.target.model, target.target.max_tokens) == ("openai", "b", 77)
    assert target.target.quirks.top_k
    assert target.target.max_frame_bytes == 4096
    assert (target.endpoint.host, target.endpoint.base_path) == ("a.example", "/v1")
    assert target.endpoint.tls == TlsSettings(ca_file="/ca.pem")
    assert target.endpoint.proxy == ProxyServer("p", 3128)
    assert target.headers == {"x-team": "a"}
    assert (target.timeouts.idle_s, target.timeouts.total_s, target.timeouts.caller_stall_s) == (99, 50, 3)
    assert (target.context_tokens, target.prefill) == (1000, True)
    assert target.credential_value() == "canary-key"
    assert "canary" not in repr(target)


def test_the_environments_proxy_is_used_unless_the_configuration_says_otherwise() -> None:
    environ = {"HTTPS_PROXY": "http://corporate:3128"}
    direct = Provider(
        "direct", kind="openai_chat", base_url="https://a.example/v1", proxy=Secret("none", "none", is_literal=True)
    )
    router = Router(Config(providers=(OPENAI, direct)), environ)

    assert router.resolve("openai/a", ANONYMOUS).targets[0].endpoint.proxy == ProxyServer("corporate", 3128)
    assert router.resolve("direct/a", ANONYMOUS).targets[0].endpoint.proxy is None


def test_keys_of_the_proxy_are_known_to_the_credentials() -> None:
    keys = (CallerKey("a", key=Secret("env:K", "canary-proxy")),)
    router = Router(Config(providers=(ANTHROPIC,), auth=Auth(keys=keys)), {})
    credential = router.resolve("anthropic/a", ANONYMOUS).targets[0].credential

    with pytest.raises(CallerError):
        credential.headers(presented({"x-api-key": "canary-proxy"}, {}), is_native=True)


@pytest.mark.parametrize(
    ("kind", "base_url", "path"),
    [
        ("openai_chat", "https://a.example/v1", "/v1"),
        ("openai_chat", "https://a.example/api/v1/", "/api/v1"),
        ("anthropic", "https://a.example", ""),
        ("anthropic", "https://a.example/v1", ""),
        ("anthropic", "https://a.example/anthropic/v1/", "/anthropic"),
        ("gemini", "https://a.example/v1beta", ""),
        ("gemini", "https://a.example/v1", ""),
        ("ollama", "http://127.0.0.1:11434/api", ""),
    ],
)
def test_a_version_at_the_end_is_accepted_where_the_paths_begin_with_it(kind: str, base_url: str, path: str) -> None:
    provider = Provider("a", kind=kind, base_url=base_url)

    (target,) = Router(Config(providers=(provider,)), {}).resolve("a/m", ANONYMOUS).targets

    assert target.endpoint.base_path == path


def test_openai_is_asked_in_the_callers_own_api() -> None:
    router = Router(Config(providers=(OPENAI, ANTHROPIC), models=CONFIG.models[:1]), {})

    resolved = router.resolve("fast", ANONYMOUS)

    assert [target.provider.kind for target in resolved.targets] == ["openai_chat", "anthropic"]
    responses = [target.provider.kind for target in resolved.targets_for("openai_responses")]
    assert responses == ["openai_responses", "anthropic"]
    assert resolved.targets_for("gemini") is resolved.targets
    assert resolved.targets_for("openai_responses")[0].endpoint.base_path == "/v1"


def test_another_address_under_openais_name_is_not_taken_for_openai() -> None:
    assert spoken_kinds(Provider("openai", kind="openai_chat", base_url="https://a.example/v1")) == [
        ("openai_chat", "https://a.example/v1")
    ]


def test_the_simulated_model_speaks_three_apis_below_its_address() -> None:
    demo = Provider("demo", kind="demo", base_url="http://127.0.0.1:4000", api_key=Secret("none", ""))

    resolved = Router(Config(providers=(demo,)), {}).resolve("demo/demo", ANONYMOUS)

    assert [target.provider.kind for target in resolved.targets] == ["openai_chat"]
    assert resolved.targets[0].endpoint.base_path == "/v1"
    assert resolved.targets_for("anthropic")[0].endpoint.base_path == ""
    assert resolved.targets_for("gemini")[0].provider.kind == "gemini"


@pytest.mark.parametrize(
    "provider",
    [
        Provider("demo", kind="demo"),
        Provider("a", kind="unheard-of", base_url="https://a.example"),
        Provider("a", kind="openai_chat", base_url="http://169.254.169.254/v1"),
    ],
    ids=["without_address", "unknown_kind", "forbidden_address"],
)
def test_what_cannot_be_asked_is_no_configuration(provider: Provider) -> None:
    with pytest.raises(ConfigError):
        Router(Config(providers=(provider,)), {})


def test_every_preset_with_an_address_can_be_routed_to() -> None:
    known = {"openai_chat", "openai_responses", "anthropic", "gemini", "ollama"}
    providers = tuple(
        Provider(name, kind=preset.kind, base_url=preset.base_url)
        for name, preset in PRESETS.items()
        if preset.base_url is not None and preset.kind in known
    )

    router = Router(Config(providers=providers), {})

    for provider in providers:
        assert sent(router, f"{provider.name}/m") == [f"{provider.name}/m"]


def test_names_that_a_pattern_matched_are_remembered_within_bounds() -> None:
    router = Router(CONFIG, {})

    first = router.resolve("gpt-1", ANONYMOUS)
    assert router.resolve("gpt-1", ANONYMOUS) is first
    for number in range(2 * MAX_REMEMBERED):
        assert sent(router, f"gpt-{number}") == [f"openai/gpt-{number}"]
    assert router.resolve("gpt-1", ANONYMOUS).targets == first.targets
    with pytest.raises(CallerError):
        router.resolve("gpt-1", caller("other"))
