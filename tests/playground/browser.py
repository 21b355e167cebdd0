"""A real browser for tests of pages: Chromium without a window, driven over its debugging protocol."""

import asyncio
import contextlib
import itertools
import shutil
from pathlib import Path
from typing import Any, Self

import aiohttp
import msgspec

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PATIENCE_S = 30.0

_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--remote-debugging-port=0",
)


class Browser:
    """One page in one browser. Console errors, exceptions and refused content are collected in `problems`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.problems: list[str] = []

    async def __aenter__(self) -> Self:
        assert CHROMIUM is not None
        async with contextlib.AsyncExitStack() as resources:
            process = await asyncio.create_subprocess_exec(
                *(CHROMIUM, *_ARGUMENTS, f"--user-data-dir={self._folder}", "about:blank"),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
            resources.push_async_callback(_end, process)
            port = await asyncio.wait_for(_debugging_port(process), PATIENCE_S)
            session = await resources.enter_async_context(aiohttp.ClientSession())
            async with session.get(f"http://127.0.0.1:{port}/json/list") as response:
                page = next(target for target in await response.json() if target["type"] == "page")
            url = page["webSocketDebuggerUrl"]
            self._socket = await resources.enter_async_context(session.ws_connect(url, max_msg_size=0))
            reading = asyncio.get_running_loop().create_task(self._read())
            resources.callback(reading.cancel)
            for domain in ("Page", "Runtime", "Log"):
                await self.call(f"{domain}.enable")
            self._resources = resources.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._resources.aclose()

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """The result of one command of the protocol."""
        number = next(self._ids)
        answered = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_str(msgspec.json.encode({"id": number, "method": method, "params": params}).decode())
        answer = await asyncio.wait_for(answered, PATIENCE_S)
        assert "error" not in answer, answer
        return answer["result"]  # type: ignore[no-any-return]

    async def open(self, url: str) -> None:
        await self.call("Page.navigate", url=url)
        await self.until("document.readyState === 'complete'")

    async def run(self, script: str) -> Any:
        """The value of a JavaScript expression, promises awaited."""
        found = await self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    async def until(self, condition: str) -> None:
        """Wait until a JavaScript expression is true."""
        async with asyncio.timeout(PATIENCE_S):
            while not await self.run(f"Boolean({condition})"):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def _read(self) -> None:
        async for message in self._socket:
            answer = msgspec.json.decode(message.data)
            if "id" in answer:
                self._answers.pop(answer["id"]).set_result(answer)
            elif answer["method"] == "Runtime.exceptionThrown":
                self.problems.append(str(answer["params"]["exceptionDetails"]))
            elif answer["method"] == "Log.entryAdded":
                self.problems.append(answer["params"]["entry"]["text"])


async def _debugging_port(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    while line := (await process.stderr.readline()).decode():
        if "DevTools listening on" in line:
            return line.split(":")[-1].split("/")[0]
    raise AssertionError("the browser did not start")


async def _end(process: asyncio.subprocess.Process) -> None:
    process.terminate()
    await process.communicate()
