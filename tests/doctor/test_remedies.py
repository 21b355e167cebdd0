import pytest

from proxy.doctor.remedies import REMEDIES, Ailment, Front, front_of


@pytest.mark.parametrize("ailment", Ailment)
def test_every_ailment_has_a_remedy_for_every_front(ailment: Ailment) -> None:
    assert set(REMEDIES[ailment]) == set(Front)
    assert all(REMEDIES[ailment].values())


@pytest.mark.parametrize(
    ("server", "via", "front"),
    [
        ("nginx/1.22.1", "", Front.NGINX),
        ("openresty", "", Front.NGINX),
        ("envoy", "", Front.ENVOY),
        ("Caddy, llm-stream-proxy", "", Front.CADDY),
        ("llm-stream-proxy", "1.1 Caddy", Front.CADDY),
        ("llm-stream-proxy", "", None),
        ("cloudflare", "", None),
    ],
)
def test_front_is_known_by_what_it_says(server: str, via: str, front: Front | None) -> None:
    assert front_of(server, via) is front
