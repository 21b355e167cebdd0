"""What is there without being configured: the embedded default, presets, their models."""

from pathlib import Path

import pytest

from proxy.config import Config, Sources, load
from proxy.presets import PRESETS
from tests.config.support import KINDS, load_text


def without_file(environ: dict[str, str]) -> Config:
    return load(Sources(environ=environ), kinds={*KINDS, "cohere"}).config


def test_without_anything_there_is_the_simulated_model_and_nothing_else() -> None:
    config = without_file({})

    assert [provider.name for provider in config.providers] == ["demo"]
    assert [model.name for model in config.models] == ["demo", "demo-*"]
    assert config.default_model == "demo"
    assert config.listen == "127.0.0.1:8080"


@pytest.mark.parametrize(
    ("variable", "provider", "kind", "model"),
    [
        ("OPENAI_API_KEY", "openai", "openai_chat", "gpt-*"),
        ("ANTHROPIC_API_KEY", "anthropic", "anthropic", "claude-*"),
        ("GEMINI_API_KEY", "gemini", "gemini", "gemini-*"),
        ("GOOGLE_API_KEY", "gemini", "gemini", "gemini-*"),
        ("XAI_API_KEY", "xai", "openai_chat", "grok-*"),
        ("MISTRAL_API_KEY", "mistral", "openai_chat", "mistral-*"),
        ("CO_API_KEY", "cohere", "cohere", "command-*"),
    ],
)
def test_a_vendors_key_in_the_environment_serves_its_models(
    variable: str, provider: str, kind: str, model: str
) -> None:
    config = without_file({variable: "k" * 20})

    found = next(one for one in config.providers if one.name == provider)
    assert found.kind == kind
    assert found.api_key is not None
    assert found.api_key.reference == f"env:{variable}"
    assert found.api_key.reveal() == "k" * 20
    assert model in [one.name for one in config.models]


def test_every_automatic_preset_is_served_at_once_without_conflicts() -> None:
    automatic = {name: preset for name, preset in PRESETS.items() if preset.is_automatic}

    config = without_file({preset.variables[0]: "k" * 20 for preset in automatic.values()})

    assert {provider.name for provider in config.providers} == {"demo", *automatic}


def test_tokens_that_open_more_than_models_serve_nothing_by_themselves() -> None:
    config = without_file({"GITHUB_TOKEN": "k" * 20, "HF_TOKEN": "k" * 20, "OPENAI_API_KEY": "  "})

    assert [provider.name for provider in config.providers] == ["demo"]


def test_a_file_without_providers_and_models_keeps_the_embedded_default(tmp_path: Path) -> None:
    config = load_text("log: {format: text}\n", tmp_path, {"OPENAI_API_KEY": "k" * 20}).config

    assert [provider.name for provider in config.providers] == ["demo", "openai"]


def test_a_presets_name_needs_nothing_else(tmp_path: Path) -> None:
    provider = load_text("providers: [{name: groq}]\n", tmp_path, {"GROQ_API_KEY": "k" * 20}).config.providers[0]

    assert provider.kind == "openai_chat"
    assert provider.base_url == "https://api.groq.com/openai/v1"
    assert provider.api_key is not None
    assert provider.api_key.reference == "env:GROQ_API_KEY"
    assert provider.quirks.omit == ("logprobs", "top_logprobs", "logit_bias")


def test_a_presets_key_that_is_not_set_means_the_callers_own(tmp_path: Path) -> None:
    assert load_text("providers: [{name: groq}]\n", tmp_path).config.providers[0].api_key is None


def test_the_callers_key_can_be_asked_for_although_the_usual_one_is_set(tmp_path: Path) -> None:
    text = "providers: [{name: groq, api_key: caller}]\n"

    key = load_text(text, tmp_path, {"GROQ_API_KEY": "k" * 20}).config.providers[0].api_key

    assert key is not None
    assert (key.reference, key.reveal()) == ("caller", "")


def test_a_preset_can_have_another_name(tmp_path: Path) -> None:
    text = 'providers: [{name: eu, preset: azure, base_url: "https://a.openai.azure.com/openai/v1"}]\n'

    provider = load_text(text, tmp_path, {"AZURE_API_KEY": "k" * 20}).config.providers[0]

    assert (provider.kind, provider.api_key_header) == ("openai_chat", "api-key")
    assert provider.api_key is not None


def test_another_kind_under_a_presets_name_takes_nothing_from_it(tmp_path: Path) -> None:
    text = 'providers: [{name: groq, kind: anthropic, base_url: "https://a.example"}]\n'

    provider = load_text(text, tmp_path, {"GROQ_API_KEY": "k" * 20}).config.providers[0]

    assert provider.api_key is None
    assert provider.quirks.omit == ()


def test_local_servers_need_no_key(tmp_path: Path) -> None:
    key = load_text("providers: [{name: vllm}]\n", tmp_path).config.providers[0].api_key

    assert key is not None
    assert key.reference == "none"


def test_the_simulated_model_needs_no_key_under_any_name(tmp_path: Path) -> None:
    text = "providers: [{name: sim, kind: demo}]\nmodels: [{name: m, targets: [{provider: sim}]}]\n"
    key = load_text(text, tmp_path).config.providers[0].api_key

    assert key is not None
    assert key.reference == "none"


def test_without_models_presets_give_theirs_and_a_single_provider_all(tmp_path: Path) -> None:
    one = load_text("providers: [{name: anthropic}]\n", tmp_path).config
    two = load_text("providers: [{name: anthropic}, {name: groq}]\n", tmp_path).config
    lab = load_text('providers: [{name: lab, kind: openai_chat, base_url: "http://10.0.0.7/v1"}]\n', tmp_path).config

    assert [model.name for model in one.models] == ["claude-*", "*"]
    assert [model.name for model in two.models] == ["claude-*"]
    assert [(model.name, model.targets[0].provider) for model in lab.models] == [("*", "lab")]


def test_the_simulated_model_never_stands_in_for_another(tmp_path: Path) -> None:
    assert [model.name for model in load_text("providers: [{name: demo}]\n", tmp_path).config.models] == [
        "demo",
        "demo-*",
    ]


def test_no_models_at_all_can_be_said(tmp_path: Path) -> None:
    assert load_text("providers: [{name: anthropic}]\nmodels: []\n", tmp_path).config.models == ()
