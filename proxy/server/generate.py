"""The handler of a generation: from the caller's request to its stream, its whole answer, or its error.

    authenticate -> read body -> envelope -> route -> admit -> open upstream -> relay -> observe

One `Generation` per call. Until the response's status is out, every fault is an exception and becomes an error answer
in the caller's dialect; afterwards faults are the relay's.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Mapping

from aiohttp import web
from aiohttp.web_request import BaseRequest

from proxy.attempt import CREDENTIAL_REFUSED, MAX_WHOLE_BYTES, Asking, Call, Opened, attempt, names_credential
from proxy.auth import refuse_other_models
from proxy.config import OnCut, UsageMode
from proxy.dialects.base import CountsTokens, Dialect, Operation, Route, StreamContext
from proxy.failover import REQUEST_FAULTS, Plan
from proxy.hub.completion import Completion
from proxy.hub.errors import ErrorKind, ProxyError, UpstreamError, UpstreamProtocolError
from proxy.hub.estimate import estimate_input_tokens
from proxy.hub.json_text import is_json
from proxy.hub.transcode import Collect
from proxy.limits import Admission
from proxy.record import Outcome, Phase
from proxy.relay import RESCUABLE
from proxy.routing import ResolvedTarget
from proxy.server.answers import SERVER_NAME, header_text, json_answer
from proxy.server.body import read_body
from proxy.server.call import STOPPED_OUTCOME, CallHandler
from proxy.server.gateway import Gateway
from proxy.server.session import Session, failure, follow
from proxy.server.stream import NoSink


def generate(
    gateway: Gateway, request: BaseRequest, dialect: Dialect, route: Route, values: Mapping[str, str]
) -> Awaitable[web.StreamResponse]:
    """Answer one generation request. Here and below, what only passes an awaitable on is no coroutine: each open stream
    would keep its frame, and each wake-up pass through it."""
    return Generation(gateway, request, dialect, route, values).serve()


class Generation(CallHandler):
    """One generation."""

    def __init__(
        self, gateway: Gateway, request: BaseRequest, dialect: Dialect, route: Route, values: Mapping[str, str]
    ) -> None:
        super().__init__(gateway, request, dialect, values)
        self.route = route
        self.session = Session(
            request,
            dialect,
            self.record,
            holds_cuts=self.snapshot.config.on_cut is not OnCut.ERROR,
            heartbeat_s=self.snapshot.config.heartbeat_s,
            loop=gateway.loop,
            remembers_bytes=self.trace.content_bytes,
        )
        self._completion: Completion | None = None
        """The answer, where it came whole."""

    async def answer_stopped(self, error: UpstreamError) -> web.StreamResponse:
        if not self.session.is_begun:
            return await super().answer_stopped(error)
        self.session.give_up(error)
        return await self._finish_stream()

    async def answer(self) -> web.StreamResponse:
        snapshot, record = self.snapshot, self.record
        limits = snapshot.config.limits
        caller = snapshot.auth.authenticate(self.params.headers, self.params.query)
        record.caller = caller.name
        if self.route.operation is Operation.RESUME or self._is_reconnect:
            record.outcome = Outcome.COMPLETED
            return web.Response(status=204, headers={"Server": SERVER_NAME, **self.proxy_headers()})
        body = await read_body(self.request, max_bytes=limits.max_body_bytes, timeout_s=limits.body_timeout_s)
        envelope = self.dialect.envelope(body, self.params)
        resolved = snapshot.router.resolve(envelope.model or snapshot.config.default_model, caller)
        record.alias = resolved.alias
        record.asked_model = envelope.model or ""
        targets = resolved.targets_for(self.dialect.name)
        record.is_stream = envelope.stream
        admission = await self.admit(caller, resolved.providers)
        call = Call(self.dialect, self.route.operation, body, self.params, envelope)
        if any(call.is_native(target) for target in targets):
            refuse_other_models(caller, body)
        del body  # The call lets go of it as soon as it can.
        if call.operation is Operation.COUNT_TOKENS:
            record.operation = call.operation.value
        if call.operation is Operation.COUNT_TOKENS and not call.is_native(targets[0]):
            return self._estimate(call)
        return await self._ask(call, targets, admission)

    @property
    def _is_reconnect(self) -> bool:
        """An EventSource has lost its stream and asks again by itself: nothing is kept to go on with, and a second
        generation would be paid for as well. 204 tells it to stop."""
        return self.request.method == "GET" and bool(self.params.headers.get("last-event-id"))

    async def _ask(self, call: Call, targets: tuple[ResolvedTarget, ...], admission: Admission) -> web.StreamResponse:
        """Ask one target after the other until an answer has ended, or nobody is left to ask."""
        loop, session = self.gateway.loop, self.session
        plan = self.gateway.plan(self.snapshot, targets, self.record)
        fault: ProxyError | None = None
        broken: tuple[UpstreamError, Outcome | None] | None = None
        """The fault that broke an answer of which the caller has a part: the one that matters to it."""
        while (step := plan.next(loop.time())) is not None:
            if step.wait_s:
                admission.leave_provider()
                self.record.phase = Phase.BACKING_OFF
                await asyncio.sleep(step.wait_s)
            if not admission.move_to(targets[step.index].target.provider):
                plan.pass_over(step.index)
                fault = fault or self.gateway.limiter.overload("provider_max_streams")
                continue
            try:
                response = await self._attempt(call, targets[step.index])
            except UpstreamError as error:
                self.record.faults.append((self.record.provider, error.kind))
                now = loop.time()
                plan.fail(step.index, error, now)
                if error.kind in STOPPED_OUTCOME:
                    # The operator ended the call, not one attempt of it.
                    raise
                # Its traceback holds this frame, which holds it: all of the call would wait for the garbage collector.
                fault = error.without_frames()
                if now - self.record.started_at >= targets[step.index].timeouts.total_s:
                    self.record.outcome = Outcome.TOTAL_TIMEOUT
                if session.is_begun:
                    broken = broken or (error, self.record.outcome)
                    plan.renew_budget(now)
                    if not session.can_join:
                        break
                if self.record.outcome is Outcome.TOTAL_TIMEOUT:
                    break
            except BaseException:
                plan.release(step.index)
                raise
            else:
                self._judge(plan, step.index)
                return response
        if broken is not None:
            session.give_up(broken[0])
            self.record.outcome = broken[1]
            fault = broken = None
            return await self._finish_stream()
        assert fault is not None
        try:
            raise fault
        finally:
            # A frame that keeps the fault whose traceback keeps the frame waits for the garbage collector.
            fault = None

    def _attempt(self, call: Call, target: ResolvedTarget) -> Awaitable[web.StreamResponse]:
        """Ask `target`. Raises UpstreamError when it failed and the caller was not told."""
        prefill = self._prefill_for(target)
        if prefill is None:
            return self._attempt_once(call, target, None)
        return self._attempt_prefilled(call, target, prefill)

    async def _attempt_prefilled(self, call: Call, target: ResolvedTarget, prefill: str) -> web.StreamResponse:
        try:
            return await self._attempt_once(call, target, prefill)
        except UpstreamError as refusal:
            if refusal.kind not in REQUEST_FAULTS:
                raise
        # The target takes no prefill after all: that is no fault of the answer, ask it from the beginning.
        return await self._attempt_once(call, target, None)

    async def _attempt_once(self, call: Call, target: ResolvedTarget, prefill: str | None) -> web.StreamResponse:
        record = self.record
        is_joining = self.session.is_begun
        self._completion = None
        record.begin_attempt(self.gateway.loop.time(), is_joining=is_joining)
        asking = Asking(
            inject_usage=self.snapshot.config.usage is UsageMode.INJECT,
            joins=is_joining,
            prefill=prefill,
            trace_headers=self.trace.begin_attempt(target, is_joining=is_joining),
        )
        try:
            response = await self._open(call, target, asking)
        except BaseException as fault:
            if isinstance(fault, UpstreamError) and names_credential(fault.message, target.credential_value()):
                # Of a refusal it is known already; this one came under a status of success.
                fault.message = CREDENTIAL_REFUSED
            self._end_attempt(call, fault)
            raise
        self._end_attempt(call, None)
        return response

    def _end_attempt(self, call: Call, fault: BaseException | None) -> None:
        trace = self.trace
        if trace.content_bytes:
            # A request that its own dialect cannot decode is relayed all the same, to callers who speak the target's API.
            with contextlib.suppress(ProxyError):
                trace.show(call.chat, self._completion or self.session.delivered)
        trace.end_attempt(fault)

    async def _open(self, call: Call, target: ResolvedTarget, asking: Asking) -> web.StreamResponse:
        opened = await attempt(call, target, self.gateway.pool, self.record, asking)
        try:
            if call.operation is Operation.COUNT_TOKENS:
                return await self._relay_whole(opened)
            return await self._answer(call, opened, is_prefilled=asking.prefill is not None)
        except BaseException:
            opened.exchange.abort()
            raise

    def _prefill_for(self, target: ResolvedTarget) -> str | None:
        """The delivered text to begin the next answer with, where policy, target and text allow it."""
        delivered = self.session.delivered
        if not self.session.is_begun or self.snapshot.config.on_cut is not OnCut.CONTINUE or not target.prefill:
            return None
        text = delivered.text.rstrip()
        return text if text and delivered.is_text_only else None

    def _judge(self, plan: Plan, index: int) -> None:
        """What the end of a stream that had begun says of its target."""
        match self.record.outcome:
            case Outcome.CUT | Outcome.IDLE_TIMEOUT | Outcome.PROTOCOL_ERROR | Outcome.ERROR_EVENT:
                plan.break_off(index, self.gateway.loop.time())
            case Outcome.COMPLETED:
                plan.succeed(index)
            case _:
                plan.release(index)

    # --- answers

    async def _answer(self, call: Call, opened: Opened, *, is_prefilled: bool) -> web.StreamResponse:
        if opened.media_type == "text/html":
            raise UpstreamProtocolError("The provider answered with a web page.")
        context = self._context(call, is_native=opened.is_native)
        if call.envelope.stream:
            self.record.status = 200
            headers = {**self.headers(opened.exchange.headers), **self.dialect.stream_headers, "Server": SERVER_NAME}
            await self.session.run(call, opened, context, headers, is_prefilled=is_prefilled)
            return await self._finish_stream()
        if opened.is_native and (opened.is_whole or not opened.media_type):
            return await self._relay_whole(opened)
        completion = await self._collect(opened)
        return json_answer(
            self.dialect.encode_completion(completion, context), headers=self.headers(opened.exchange.headers)
        )

    async def _finish_stream(self) -> web.StreamResponse:
        self.record.phase = Phase.ENDING
        await self.session.finish(self.snapshot.config.timeouts.caller_stall_s)
        assert self.session.response is not None
        return self.session.response

    async def _relay_whole(self, opened: Opened) -> web.StreamResponse:
        """The upstream's own JSON, byte for byte; usage is read from it if it can be."""
        record = self.record
        body = await self._read_whole(opened)
        try:
            completion = opened.target.provider.decode_completion(body, opened.target.target)
        except UpstreamError as fault:
            # An error under a status of success, or no answer at all: another target may have one.
            if fault.kind in RESCUABLE and not (fault.kind is ErrorKind.PROTOCOL and is_json(body)):
                raise
            if names_credential(fault.message, opened.target.credential_value()):
                raise
            record.tap_failed = True
        else:
            record.usage, record.end, record.answered_model = completion.usage, completion.end, completion.model
            self._completion = completion
        record.outcome = Outcome.COMPLETED
        record.bytes_down = len(body)
        media_type = header_text(opened.exchange.headers.get("content-type", "application/json"))
        return web.Response(
            body=body,
            headers={**self.headers(opened.exchange.headers), "Content-Type": media_type, "Server": SERVER_NAME},
        )

    async def _read_whole(self, opened: Opened) -> bytes:
        left_s = opened.target.timeouts.total_s - (self.gateway.loop.time() - self.record.started_at)
        try:
            async with asyncio.timeout(left_s):
                body = await opened.exchange.read_whole(MAX_WHOLE_BYTES)
        except TimeoutError as late:
            self.record.outcome = Outcome.TOTAL_TIMEOUT
            raise UpstreamError(ErrorKind.TIMEOUT, "The provider's answer took too long.") from late
        self.record.bytes_up = len(body)
        return body

    async def _collect(self, opened: Opened) -> Completion:
        """The upstream's answer, streamed or whole, folded into a whole one."""
        collect = Collect(opened.decoder(), MAX_WHOLE_BYTES)
        relay = self.session.relay(collect, opened, NoSink(), is_exact=False)
        await follow(relay, opened.exchange, self.request)
        if collect.summary.end is None:
            raise failure(relay, collect.summary.error)
        self._completion = collect.completion()
        return self._completion

    def _estimate(self, call: Call) -> web.StreamResponse:
        """A token count by our own rough rule, and said to be one: the target's API cannot count."""
        assert isinstance(self.dialect, CountsTokens)
        self.record.outcome = Outcome.COMPLETED
        count = estimate_input_tokens(call.chat)
        headers = {**self.proxy_headers(), "x-proxy-estimate": "true"}
        return json_answer(self.dialect.encode_token_count(count), headers=headers)

    # --- parts

    def _context(self, call: Call, *, is_native: bool) -> StreamContext:
        return StreamContext(
            id=self.stream_id,
            model=self.record.model,
            created=int(time.time()),
            include_usage=call.envelope.include_usage,
            variant=call.envelope.variant,
            response_format=None if is_native else call.chat.response_format,
        )
