"""The page in a real browser, on a real proxy with its simulated model."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.playground.browser import CHROMIUM, PATIENCE_S, Browser

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def proxy() -> AsyncIterator[str]:
    """The address of a proxy without configuration, whose model does not wait."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy", "serve", "--listen", "127.0.0.1:0"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "DEMO_TOKENS_PER_S": "0", "DEMO_DELAY_S": "0"},
    )
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        while line := (await process.stdout.readline()).decode():
            if line.startswith("playground"):
                break
    yield line.split()[-1]
    process.kill()
    await process.communicate()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    async with Browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, proxy: str) -> Browser:
    """The playground, fresh, with its list of models."""
    browser.problems.clear()
    await browser.open("about:blank")
    await browser.open(proxy)
    await browser.until("document.getElementById('model')?.value === 'demo'")
    return browser


async def ask(page: Browser, prompt: str, **choices: bool) -> None:
    """Fill the form and send it; does not wait for the end."""
    await page.run(f"document.getElementById('prompt').value = {prompt!r}")
    for name, value in choices.items():
        await page.run(f"document.getElementById({name!r}).checked = {str(value).lower()}")
    await page.run("document.getElementById('form').requestSubmit()")


async def ended(page: Browser) -> str:
    """What the answer ended with, once it has."""
    await page.until("!document.getElementById('send').disabled")
    return str(await page.run("document.getElementById('ended').textContent"))


async def conversation(page: Browser) -> str:
    return str(await page.run("document.getElementById('conversation').innerText"))


@pytest.mark.parametrize("transport", ["fetch", "eventsource"])
async def test_text_is_shown_with_its_figures(page: Browser, transport: str) -> None:
    await page.run(f"document.querySelector('[value={transport}]').click()")

    await ask(page, '[[demo text="Hello, one by one."]]')

    assert await ended(page) == "stop"
    assert "Hello, one by one." in await conversation(page)
    figures = [
        await page.run(f"document.getElementById('{name}').textContent") for name in ("first", "events", "usage")
    ]
    assert figures[0].endswith(" ms")
    assert int(figures[1]) >= 6
    assert "/ 6" in figures[2]
    assert page.problems == []


async def test_reasoning_and_text_are_apart(page: Browser) -> None:
    await ask(page, '[[demo reasoning=12 text="So."]]')

    assert await ended(page) == "stop"
    assert await page.run("document.querySelector('.answer .reasoning p').textContent.length") > 20
    assert await page.run("document.querySelector('.answer > .text').textContent") == "So."


async def test_sample_tools_are_run_and_the_answer_uses_them(page: Browser) -> None:
    await ask(page, "What is the weather in Oslo and in Lima, both?", tools=True)

    assert await ended(page) == "stop"
    said = await conversation(page)
    assert said.count("get_weather →") == 2
    assert "- Lima: 18 degrees" in said


async def test_json_is_shown_as_a_value(page: Browser) -> None:
    await ask(page, "Anything", json=True)

    assert await ended(page) == "stop"
    assert '"about": "Anything"' in str(await page.run("document.querySelector('.block pre').textContent"))


@pytest.mark.parametrize(
    ("fault", "message"),
    [("cut@5", "cut:"), ("error@5 status=503", "The simulated model failed"), ("503", "503 "), ("rst@5", "cut:")],
)
async def test_faults_are_shown_after_what_came_before(page: Browser, fault: str, message: str) -> None:
    await ask(page, f"[[demo tokens=9 fault={fault}]]")

    await ended(page)
    assert message in str(await page.run("document.querySelector('.answer .error').textContent"))
    assert await page.run("document.getElementById('ended').className") == "bad"


async def test_failed_event_source_does_not_ask_again(page: Browser, proxy: str) -> None:
    await page.run("document.querySelector('[value=eventsource]').click()")

    await ask(page, "[[demo fault=400]]")

    assert await ended(page) == "failed"
    requests = "performance.getEntriesByType('resource').filter((entry) => entry.name.includes('/chat?')).length"
    assert await page.run(requests) <= 1


async def test_stop_ends_the_answer_here_and_there(page: Browser) -> None:
    await ask(page, "[[demo fault=endless@5 rate=100]]")
    await page.until("document.querySelector('.answer .text')?.textContent.length > 20")

    await page.run("document.getElementById('stop').click()")

    assert await ended(page) == "stopped"
    assert "error" not in str(await page.run("document.querySelector('.answer').innerHTML"))


async def test_markup_from_a_model_is_only_text(page: Browser) -> None:
    markup = "<img src=x onerror=document.title=1><script>document.title=2</script><b>bold</b>"

    await ask(page, f'[[demo reasoning=1 text="{markup}"]]')

    assert await ended(page) == "stop"
    assert markup in await conversation(page)
    assert (
        await page.run("document.querySelectorAll('#conversation img, #conversation b, #conversation script').length")
        == 0
    )
    assert await page.run("document.title") == "llm-stream-proxy playground"
    assert page.problems == []


async def test_snippets_name_this_proxy(page: Browser, proxy: str) -> None:
    tabs = int(await page.run("document.querySelectorAll('#tabs button').length"))

    for number in range(tabs):
        await page.run(f"document.querySelectorAll('#tabs button')[{number}].click()")
        assert proxy.rstrip("/") in str(await page.run("document.getElementById('snippet').textContent"))


@pytest.mark.parametrize("width", [320, 390, 800, 1400])
async def test_page_never_scrolls_sideways(page: Browser, width: int) -> None:
    await page.call(
        "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 700
    )
    await ask(page, f'[[demo text="{"long" * 200}"]]')
    await ended(page)

    assert await page.run("document.documentElement.scrollWidth") <= width
    await page.call("Emulation.clearDeviceMetricsOverride")
