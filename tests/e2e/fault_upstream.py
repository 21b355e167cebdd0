"""The upstream of the fault matrix: raw sockets, a script for each upstream model, and what the proxy did to it."""

import asyncio
import contextlib
import time
from dataclasses import dataclass, field

import msgspec

from tests.e2e.fault_row import WIRES, Drip, Script, Step, Then
from tests.support.canary import CALLER_KEY
from tests.upstream.raw_server import PATIENCE_S, Peer, RawServer


@dataclass
class Attempt:
    """One request and what became of its connection."""

    connection: int
    arrived_at: float
    body: bytes
    left: asyncio.Event = field(default_factory=asyncio.Event)
    left_at: float = 0.0
    """When the proxy ended the connection; 0: it has not."""
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    """All steps are done: the connection waits for another request."""
    ended_with: Then | None = None
    """How the upstream ended the connection; `None`: it has not."""

    async def until_left(self) -> float:
        async with asyncio.timeout(PATIENCE_S):
            await self.left.wait()
        return self.left_at


class Scenario:
    """What one upstream model answers, and what it was asked."""

    def __init__(self, answers: tuple[Script, ...]) -> None:
        self.answers = answers
        self.attempts: list[Attempt] = []
        self.arrived = asyncio.Condition()

    async def attempt(self, index: int = 0) -> Attempt:
        async with asyncio.timeout(PATIENCE_S), self.arrived:
            await self.arrived.wait_for(lambda: len(self.attempts) > index)
        return self.attempts[index]


def asked_for(path: str, body: bytes) -> tuple[str, str]:
    """The format and the model of a request."""
    if "/models/" in path:
        return "gemini", path.partition("/models/")[2].partition(":")[0]
    kind = "anthropic" if path.endswith("/messages") else "openai_chat"
    return kind, msgspec.json.decode(body)["model"]


class FaultyUpstream:
    """Serves every scenario on one port; the model that is asked for says which, the path says in which format."""

    def __init__(self) -> None:
        self.server = RawServer(self._serve)
        self.scenarios: dict[str, Scenario] = {}
        self._connections = 0
        self._idle: dict[int, Peer] = {}

    def play(self, model: str, answers: tuple[Script, ...]) -> Scenario:
        """Answer requests for `model` like this from now on, on connections that have served no other."""
        for peer in self._idle.values():
            peer.close()
        self._idle.clear()
        scenario = self.scenarios[model] = Scenario(answers)
        return scenario

    async def _serve(self, peer: Peer) -> None:
        number = self._connections
        self._connections += 1
        seen: list[Attempt] = []
        try:
            while True:
                self._idle[number] = peer
                request = await peer.request()
                self._idle.pop(number, None)
                assert CALLER_KEY.encode() not in request.raw, "a caller's key has gone upstream"
                kind, model = asked_for(request.target, request.body)
                scenario = self.scenarios[model]
                attempt = Attempt(number, time.monotonic(), request.body)
                seen.append(attempt)
                async with scenario.arrived:
                    scenario.attempts.append(attempt)
                    scenario.arrived.notify_all()
                script = scenario.answers[min(len(scenario.attempts), len(scenario.answers)) - 1]
                for step in script(WIRES[kind]):
                    if step in (Then.FIN, Then.RST):
                        attempt.ended_with = step
                    if await self._play(peer, step):
                        return
                attempt.answered.set()
        except (asyncio.IncompleteReadError, ConnectionError):
            self._idle.pop(number, None)
        finally:
            for attempt in seen:
                attempt.left_at = time.monotonic()
                attempt.left.set()

    async def _play(self, peer: Peer, step: Step) -> bool:
        """One step; true when it ends the connection."""
        match step:
            case Drip(data, size, pause_s):
                for start in range(0, max(len(data), 1), size):
                    await peer.send(data[start : start + size])
                    await asyncio.sleep(pause_s)
                    if peer.reader.at_eof():
                        raise ConnectionResetError
            case Then.LISTEN:
                pass
            case Then.FIN:
                # Its own half alone, so that the proxy is seen to end the other.
                peer.writer.write_eof()
                await peer.gone()
                return True
            case Then.RST:
                # What was sent must be read before the reset takes the connection away.
                await asyncio.sleep(0.02)
                peer.reset()
                return True
            case _:
                await peer.send(step)
                # Steps are separate packets: let the other side read each by itself.
                with contextlib.suppress(TimeoutError):
                    await asyncio.sleep(0.005)
        return False
