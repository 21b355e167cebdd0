"""The structs themselves: frozen, closed, and the little that they compute."""

import hashlib

import msgspec
import pytest

from proxy.config import CallerKey, Config, Resume, Secret, TimeoutOverrides, Timeouts
from proxy.config.shape import settings_type


def structs(kind: msgspec.inspect.Type, found: dict[str, type]) -> dict[str, type]:
    match kind:
        case msgspec.inspect.StructType(cls):
            found[cls.__name__] = cls
            for field in kind.fields:
                structs(field.type, found)
        case msgspec.inspect.UnionType(types):
            for one in types:
                structs(one, found)
        case msgspec.inspect.VarTupleType(item_type) | msgspec.inspect.Metadata(item_type):
            structs(item_type, found)
        case _:
            pass
    return found


def test_every_section_is_frozen_and_refuses_unknown_keys() -> None:
    sections = structs(settings_type(), {})

    assert len(sections) > 15
    for name, cls in sections.items():
        config = cls.__struct_config__  # type: ignore[attr-defined]
        assert config.frozen, name
        assert config.forbid_unknown_fields, name


def test_the_defaults_are_those_of_the_product() -> None:
    config = Config()

    assert config.timeouts == Timeouts(5, 60, 60, 30, 900, 30)
    assert (config.retry.attempts, config.breaker.failures, config.heartbeat_s) == (2, 5, 15)
    assert (config.limits.max_body_bytes, config.limits.max_frame_bytes) == (33554432, 16777216)
    assert (config.resume.store_url(), config.on_cut, config.usage) == ("none", "error", "observe")


def test_overrides_replace_only_what_they_give() -> None:
    assert Timeouts().overridden(TimeoutOverrides(idle_s=1)) == Timeouts(idle_s=1)
    assert Timeouts().overridden(TimeoutOverrides()) == Timeouts()


@pytest.mark.parametrize(
    "key",
    [
        CallerKey("a", key=Secret("env:K", "secret-key")),
        CallerKey("a", sha256=hashlib.sha256(b"secret-key").hexdigest()),
        CallerKey("a", sha256=hashlib.sha256(b"secret-key").hexdigest().upper()),
    ],
)
def test_a_key_and_its_digest_are_the_same(key: CallerKey) -> None:
    assert key.digest() == hashlib.sha256(b"secret-key").digest()


def test_a_store_can_be_a_secret() -> None:
    assert Resume(store=Secret("env:STORE", "redis://redis")).store_url() == "redis://redis"
