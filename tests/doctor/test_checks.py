"""The checks through real proxies: three that are set up badly, each in one way, and those that are set up as documented."""

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from proxy.doctor.checks import Diagnosis, Doctor, Unexaminable, Wishes, examine
from proxy.doctor.conversation import parse_site
from proxy.doctor.judge import Level
from proxy.doctor.remedies import Ailment, Front
from tests.doctor.test_conversation import answering
from tests.support import fronts
from tests.support.proxy import proxy_process, settings

SILENCE_S = 1.5
SHORT = "600ms"
"""A read timeout that the silence is longer than."""
PAUSE_S = 0.6

LOCATION = "client_max_body_size 32m; location / {{ proxy_pass http://127.0.0.1:8080; {more} }}"
BUFFERS = LOCATION.format(more="proxy_ignore_headers X-Accel-Buffering;")
COMPRESSES = LOCATION.format(
    more="proxy_http_version 1.1; proxy_set_header Connection ''; gzip on; gzip_types text/event-stream;"
)
CUTS = LOCATION.format(more=f"proxy_read_timeout {SHORT};")
INTERCEPTS = (
    LOCATION.format(
        more="proxy_intercept_errors on; error_page 400 503 /error; proxy_hide_header Cache-Control;"
        " proxy_ignore_client_abort on;"
    )
    + ' location = /error { return 500 "<html>"; }'
)

PLAIN = settings([], models=[{"name": "demo", "targets": [{"provider": "demo"}]}]) | {"providers": [{"name": "demo"}]}


@contextlib.asynccontextmanager
async def proxied(folder: Path) -> AsyncIterator[int]:
    """A proxy with the simulated model; its port."""
    async with proxy_process(PLAIN, folder) as proxy:
        yield proxy.port


async def diagnosis_of(port: int) -> Diagnosis:
    return await examine(Wishes(parse_site(f"http://127.0.0.1:{port}"), None, "demo", SILENCE_S, PAUSE_S))


def ailments(diagnosis: Diagnosis) -> set[Ailment | None]:
    return {finding.ailment for finding in diagnosis.findings if finding.level is Level.PROBLEM}


def by_check(diagnosis: Diagnosis) -> dict[str, str]:
    return {finding.check: finding.summary for finding in diagnosis.findings}


async def test_proxy_alone_has_nothing_in_front(tmp_path: Path) -> None:
    async with proxied(tmp_path) as port:
        found = await diagnosis_of(port)

    assert ailments(found) == set(), by_check(found)
    assert found.is_healthy and found.front is None and len(found.findings) == 15


@pytest.mark.parametrize(
    ("server", "expected", "said"),
    [
        (BUFFERS, {Ailment.BUFFERED, Ailment.SWALLOWED}, ("one by one", "lumps of about 4096 bytes")),
        (COMPRESSES, {Ailment.COMPRESSED}, ("compression", "(gzip)")),
        (CUTS, {Ailment.IDLE_CUT}, ("silence before the first event", "answered 504 after 0.")),
        (
            INTERCEPTS,
            {Ailment.ERRORS_REWRITTEN, Ailment.HEADERS_CHANGED, Ailment.LEAVING_HIDDEN},
            ("disconnect", "you pay"),
        ),
        (fronts.NGINX_PLAIN, {Ailment.BODY_REFUSED}, ("request body of 2.0 MB", "answered 413")),
        (fronts.documented("nginx"), set(), ("one by one", "20 events")),
    ],
    ids=["buffers", "compresses", "cuts", "intercepts", "plain", "documented"],
)
async def test_what_is_wrong_with_nginx_is_named(
    server: str, expected: set[Ailment], said: tuple[str, str], tmp_path: Path
) -> None:
    fronts.need("nginx")
    async with proxied(tmp_path) as port, fronts.nginx(port, tmp_path, server) as front_port:
        found = await diagnosis_of(front_port)

    assert ailments(found) == expected, by_check(found)
    assert found.front is Front.NGINX
    assert said[1] in by_check(found)[said[0]]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda text: text.replace("timeout server 24h", f"timeout server {SHORT}"), {Ailment.IDLE_CUT}),
        (lambda _: fronts.HAPROXY_PLAIN, {Ailment.BUFFERED, Ailment.LEAVING_HIDDEN}),
        (lambda text: text, set()),
    ],
    ids=["cuts", "plain", "documented"],
)
async def test_what_is_wrong_with_haproxy_is_named(
    change: Callable[[str], str], expected: set[Ailment], tmp_path: Path
) -> None:
    fronts.need("haproxy")
    text = change(fronts.documented("haproxy"))
    async with proxied(tmp_path) as port, fronts.haproxy(port, tmp_path, text) as front_port:
        found = await diagnosis_of(front_port)

    assert ailments(found) == expected, by_check(found)


async def test_caddy_as_documented_does_no_harm(tmp_path: Path) -> None:
    fronts.need("caddy")
    text = fronts.documented("caddyfile")
    async with proxied(tmp_path) as port, fronts.caddy(port, tmp_path, text) as front_port:
        found = await diagnosis_of(front_port)

    assert (ailments(found), found.front) == (set(), Front.CADDY), by_check(found)


async def test_refused_front_is_told_from_a_refusing_proxy(tmp_path: Path) -> None:
    config = PLAIN | {"timeouts": {"idle_s": 0.5, "headers_s": 0.5}, "limits": {"max_body_bytes": 1_000_000}}
    async with proxy_process(config, tmp_path) as proxy:
        found = await diagnosis_of(proxy.port)

    summaries = by_check(found)
    assert found.is_healthy, summaries
    assert "its own timeouts are shorter" in summaries["silence in the middle of an answer"]
    assert "its own timeouts are shorter" in summaries["silence before the first event"]
    assert "refused by the proxy itself" in summaries["request body of 2.0 MB"]


async def test_what_cannot_be_examined_is_said_before_much_is_asked(tmp_path: Path) -> None:
    config = PLAIN | {"auth": {"keys": [{"name": "a", "key": "env:DOCTORS_KEY"}]}}
    async with proxy_process(config, tmp_path, environ={"DOCTORS_KEY": "k" * 30}) as proxy:
        site = parse_site(f"http://127.0.0.1:{proxy.port}/v1")

        with pytest.raises(Unexaminable, match="--key-env"):
            await examine(Wishes(site, None))
        with pytest.raises(Unexaminable, match="404: no model 'other'"):
            await examine(Wishes(site, "k" * 30, "other"))
        assert await Doctor(Wishes(site, "k" * 30)).introduce()


async def test_model_that_is_not_simulated_is_left_alone() -> None:
    async with answering(b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"choices": []}') as site:
        with pytest.raises(Unexaminable, match="not the simulated model; nothing more"):
            await examine(Wishes(site, None, "gpt-real"))
