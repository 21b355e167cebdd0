"""Makes the measurements: calls of the simulated model through a public address."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

import msgspec

from proxy.demo.fates import State, Told
from proxy.doctor import judge
from proxy.doctor.conversation import Conversation, Ending, Site, TlsSeen, Unreachable, look_at_tls
from proxy.doctor.judge import Finding, Level
from proxy.doctor.remedies import Ailment, Front, front_of
from proxy.doctor.symptoms import Event, LeavingSeen, PressureSeen, Read, Silence, StreamSeen, WholeSeen
from proxy.framing.sse import SseFramer
from proxy.hub.errors import UpstreamProtocolError

CHAT_PATH = "/v1/chat/completions"
STALL_S = 10.0
GREETING = "simulated-model-present"
PATIENCE_S = 15.0
"""For an answer that comes at once."""

FIRST_BYTES_S = 5.0
"""For the beginning of an answer that is about to be left or not to be read."""

EVENTS = 20
EVENT_RATE = 20
PADDING = 300
LARGE_EVENTS, LARGE_PADDING = 4000, 8000
LARGE_BYTES = LARGE_EVENTS * (LARGE_PADDING + 200)
"""Of the large answer, about: each event has some 200 bytes around its padding."""
MOST_PAUSES = 12
SMALL_RECEIVE_BUFFER_BYTES = 64 * 1024
FATE_TRIES = 40
"""Requests until one reaches the process that had the stream: each connection may reach another."""
FATE_PAUSE_S = 0.1
FATE_SLACK_S = 0.5
"""How much longer than a verdict needs the fate of an answer is asked for."""
BODY_BYTES = (2_000_000, 8_000_000)
HEADER_BYTES = 6000
KEPT_BODY_BYTES = 4096


class Wishes(msgspec.Struct, frozen=True):
    """What the command line says."""

    site: Site
    key: str | None
    model: str = "demo"
    silence_s: float = 20.0
    pause_s: float = 3.0


class Diagnosis(msgspec.Struct):
    """All that was found, and what stands in front as far as it says so."""

    url: str
    front: Front | None
    server: str
    tls: TlsSeen | None
    findings: list[Finding]

    @property
    def is_healthy(self) -> bool:
        return all(finding.level is not Level.PROBLEM for finding in self.findings)


class Unexaminable(Exception):
    """Nothing can be measured; the text says why and what to do."""


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message = msgspec.field(default_factory=_Message)
    delta: _Message = msgspec.field(default_factory=_Message)


class _Error(msgspec.Struct):
    type: str | None = None
    code: str | int | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice] = []
    error: _Error | None = None


async def examine(wishes: Wishes) -> Diagnosis:
    """Measure everything. Raises Unexaminable, Unreachable."""
    doctor = Doctor(wishes)
    tls = await look_at_tls(wishes.site)
    head = await doctor.introduce()
    findings = await doctor.examine()
    server = head.get("server", "")
    return Diagnosis(wishes.site.url, front_of(server, head.get("via", "")), server, tls, findings)


class Doctor:
    """The checks of one site."""

    def __init__(self, wishes: Wishes) -> None:
        self._wishes = wishes
        self._now = asyncio.get_running_loop().time

    async def introduce(self) -> dict[str, str]:
        """Make sure that the simulated model answers; the response's headers. Raises Unexaminable, Unreachable."""
        seen = await self._whole(f'[[demo text="{GREETING}" rate=0 delay=0]]')
        status = seen.head.status if seen.head is not None else 0
        if seen.head is not None and _content(seen.body) == GREETING:
            return seen.head.headers
        model = self._wishes.model
        match status:
            case 401 | 403:
                raise Unexaminable(f"{status}: it wants a key that may use {model!r}; name its variable with --key-env")
            case 404:
                raise Unexaminable(
                    f"404: no model {model!r} there. Add the provider {{name: demo}} and a model for it to the"
                    " configuration, or say --model demo/demo"
                )
            case 200:
                raise Unexaminable(f"{model!r} is not the simulated model; nothing more was asked of it")
            case _:
                raise Unexaminable(f"the first request was answered {status or 'by nothing'}: is that the proxy?")

    async def examine(self) -> list[Finding]:
        """Everything; silences run beside the rest."""
        async with asyncio.TaskGroup() as group:
            silences = [group.create_task(self.silence(silence)) for silence in Silence]
            offering = self._stream(
                self._stamped_prompt(0), {"Accept-Encoding": "gzip, deflate, br, zstd"}, limit_s=PATIENCE_S
            )
            compressed = group.create_task(offering)
            stamped, request_id = await self._stamped(0)
            findings = [await self._judged_pace(stamped), judge.judge_compression(await compressed)]
            findings += judge.judge_headers(stamped, request_id)
            findings.append(judge.judge_leaving(await self.leaving()))
            findings += await self._errors_and_sizes()
            findings.append(judge.judge_pressure(await self.pressure()))
        return [*findings[:2], *(task.result() for task in silences), *findings[2:]]

    async def _judged_pace(self, seen: StreamSeen) -> Finding:
        found = judge.judge_pace(seen, None)
        if found.ailment is None:
            return found
        padded, _ = await self._stamped(PADDING)
        return judge.judge_pace(seen, padded)

    def _stamped_prompt(self, padding: int) -> str:
        return f"[[demo tokens={EVENTS} rate={EVENT_RATE} delay=0 stamps pad={padding}]]"

    async def _stamped(self, padding: int) -> tuple[StreamSeen, str]:
        """A stream whose events say when they were sent, and the id of its request."""
        request_id = f"doctor-{secrets.token_hex(8)}"
        seen = await self._stream(self._stamped_prompt(padding), {"X-Request-Id": request_id}, limit_s=PATIENCE_S)
        return seen, request_id

    async def silence(self, silence: Silence) -> Finding:
        """One stream in which nothing comes for as long as was wished."""
        seconds = self._wishes.silence_s
        prompt = {
            Silence.MIDDLE: f"[[demo tokens=4 rate=0 delay=0 fault=stall@2 stall_s={seconds}]]",
            Silence.FIRST: f"[[demo tokens=4 rate=0 delay={seconds}]]",
            Silence.PINGS: f"[[demo tokens=4 rate=0 delay=0 fault=stall@2 stall_s={seconds} interval={seconds / 20}]]",
        }[silence]
        seen = await self._stream(prompt, {}, limit_s=seconds + PATIENCE_S)
        return judge.judge_silence(silence, seen, seconds)

    async def leaving(self) -> LeavingSeen:
        """Leave an answer while it is silent, then ask what the model knows of it: whoever writes is told by the write."""
        name = secrets.token_hex(16)
        prompt = f"[[demo tokens=200 rate=20 delay=0 fault=stall@2 stall_s={STALL_S} nonce={name}]]"
        async with self._sent(self._body(prompt, is_stream=True), {}) as conversation:
            await _read_some(conversation, FIRST_BYTES_S)
            conversation.leave()
        left_at = self._now()
        while True:
            told, asked_at = await self._fate(name)
            waited_s = asked_at - left_at
            if told.ended_ago_s is not None:
                return LeavingSeen(told, max(waited_s - told.ended_ago_s, 0.0), waited_s)
            if told.state is State.UNKNOWN or waited_s > judge.LEAVING_S + FATE_SLACK_S:
                return LeavingSeen(told, None, waited_s)
            await asyncio.sleep(FATE_PAUSE_S)

    async def pressure(self) -> PressureSeen:
        """Ask for a large answer, read its beginning and then nothing for a while."""
        name = secrets.token_hex(16)
        pause_s = self._wishes.pause_s
        prompt = f"[[demo tokens={LARGE_EVENTS} rate=0 delay=0 pad={LARGE_PADDING} nonce={name}]]"
        body = self._body(prompt, is_stream=True)
        async with self._sent(body, {}, receive_buffer_bytes=SMALL_RECEIVE_BUFFER_BYTES) as conversation:
            await _read_some(conversation, FIRST_BYTES_S)
            began = self._now()
            await asyncio.sleep(pause_s / 2)
            earlier, last = Told(State.UNKNOWN), (await self._fate(name))[0]
            # Until nothing more is taken; how long buffers take to fill depends on the machine and the network.
            for _ in range(MOST_PAUSES):
                if last.state is not State.LIVE or last.bytes == earlier.bytes:
                    break
                await asyncio.sleep(pause_s / 2)
                earlier, last = last, (await self._fate(name))[0]
            paused_s = self._now() - began
        return PressureSeen(LARGE_BYTES, earlier, last, paused_s)

    async def _errors_and_sizes(self) -> list[Finding]:
        findings = [
            judge.judge_error(status, await self._whole(f"[[demo fault={status}]]", is_stream=True))
            for status in (400, 503)
        ]
        small = "[[demo tokens=2 rate=0 delay=0]]"
        for size in BODY_BYTES:
            seen = await self._whole(small, ballast=size)
            findings.append(judge.judge_size("body", size, seen, Ailment.BODY_REFUSED))
            if findings[-1].level is not Level.OK:
                break
        seen = await self._whole(small, headers={"X-Ballast": "x" * HEADER_BYTES})
        findings.append(judge.judge_size("header", HEADER_BYTES, seen, Ailment.HEAD_REFUSED))
        findings.append(judge.judge_continue(await self._whole(small, expects=True)))
        return findings

    # --- calls

    async def _fate(self, name: str) -> tuple[Told, float]:
        """What the model knows of an answer, and when that was said."""
        told = Told(State.UNKNOWN)
        at = self._now()
        for _ in range(FATE_TRIES):
            asked_at = self._now()
            seen = await self._whole(f"[[demo fate={name} rate=0 delay=0]]")
            at = asked_at + seen.took_s / 2
            try:
                told = msgspec.json.decode(_content(seen.body) or "{}", type=Told)
            except msgspec.DecodeError:
                continue
            if told.state is not State.UNKNOWN:
                break
        return told, at

    async def _whole(
        self,
        prompt: str,
        *,
        ballast: int = 0,
        headers: Mapping[str, str] | None = None,
        expects: bool = False,
        is_stream: bool = False,
    ) -> WholeSeen:
        """One answer that is read to its end."""
        body = self._body(prompt, is_stream=is_stream, ballast=ballast)
        began = self._now()
        async with self._sent(body, headers or {}, expects=expects) as conversation:
            kept = b""
            try:
                async with asyncio.timeout(PATIENCE_S):
                    if expects:
                        await _wait_for_continue(conversation)
                        conversation.send_body(body)
                    while conversation.ending is None:
                        kept += (await conversation.read())[1]
            except TimeoutError:
                conversation.ending = Ending.LATE
            except Unreachable:
                conversation.ending = Ending.CUT
            took_s = self._now() - began
            ending = conversation.ending or Ending.CUT
            return WholeSeen(took_s, conversation.head, kept, ending, conversation.was_told_to_go_on)

    async def _stream(self, prompt: str, headers: Mapping[str, str], *, limit_s: float) -> StreamSeen:
        """One stream, read as fast as it comes."""
        seen = StreamSeen(self._now())
        async with self._sent(self._body(prompt, is_stream=True), headers) as conversation:
            try:
                async with asyncio.timeout(limit_s):
                    await _read_stream(conversation, seen)
            except TimeoutError:
                conversation.ending = Ending.LATE
            except Unreachable:
                conversation.ending = Ending.CUT
            seen.head = conversation.head
            seen.ending = conversation.ending or Ending.CUT
            seen.ended_at = self._now()
        return seen

    @asynccontextmanager
    async def _sent(
        self,
        body: bytes,
        headers: Mapping[str, str],
        *,
        expects: bool = False,
        receive_buffer_bytes: int | None = None,
    ) -> AsyncGenerator[Conversation]:
        """A request on a connection of its own. Raises Unreachable."""
        all_headers = {"Content-Type": "application/json", **headers}
        if self._wishes.key is not None:
            all_headers["Authorization"] = f"Bearer {self._wishes.key}"
        site = self._wishes.site
        try:
            async with asyncio.timeout(PATIENCE_S):
                conversation = await Conversation.open(site, receive_buffer_bytes=receive_buffer_bytes)
        except TimeoutError as fault:
            raise Unreachable(f"{site.url}: no connection in {PATIENCE_S:.0f} s") from fault
        try:
            if expects:
                all_headers |= {"Expect": "100-continue", "Content-Length": str(len(body))}
            conversation.send("POST", CHAT_PATH, all_headers, None if expects else body)
            yield conversation
        finally:
            await conversation.close()

    def _body(self, prompt: str, *, is_stream: bool, ballast: int = 0) -> bytes:
        messages = [{"role": "user", "content": prompt}]
        if ballast:
            messages.insert(0, {"role": "system", "content": "x" * ballast})
        return msgspec.json.encode({"model": self._wishes.model, "stream": is_stream, "messages": messages})


async def _read_some(conversation: Conversation, patience_s: float) -> None:
    """Until the answer has begun; something in front may hold its beginning back."""
    try:
        async with asyncio.timeout(patience_s):
            while conversation.ending is None and not (await conversation.read())[1]:
                pass
    except TimeoutError:
        return


async def _wait_for_continue(conversation: Conversation) -> None:
    """Until 100 or an answer comes, or the second is over that clients wait."""
    try:
        async with asyncio.timeout(1):
            while not conversation.was_told_to_go_on and conversation.head is None and conversation.ending is None:
                await conversation.read()
    except TimeoutError:
        return


async def _read_stream(conversation: Conversation, seen: StreamSeen) -> None:
    framer = SseFramer()
    while conversation.ending is None:
        at, data = await conversation.read()
        if not data:
            continue
        seen.reads.append(Read(at, len(data)))
        seen.body = (seen.body + data)[:KEPT_BODY_BYTES]
        head = conversation.head
        if head is not None and head.headers.get("content-encoding", "identity") == "identity":
            _read_events(framer, at, data, seen)


def _read_events(framer: SseFramer, at: float, piece: bytes, seen: StreamSeen) -> None:
    try:
        frames = framer.feed(piece)
    except UpstreamProtocolError:
        return
    for _, data in frames:
        if data == b"[DONE]":
            seen.is_finished = not seen.error
            continue
        try:
            completion = msgspec.json.decode(data, type=_Completion)
        except msgspec.DecodeError:
            continue
        if completion.error is not None:
            seen.error = str(completion.error.code or completion.error.type or "error")[:60]
        seen.events += [Event(at, choice.delta.content or "") for choice in completion.choices]


def _content(body: bytes) -> str | None:
    try:
        choices = msgspec.json.decode(body, type=_Completion).choices
    except msgspec.DecodeError:
        return None
    return choices[0].message.content if choices else None
