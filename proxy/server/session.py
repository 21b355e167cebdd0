"""One caller's stream over one or more upstreams: it begins once, ends once, and may be joined in between.

    session.run(call, opened)   relays one upstream's answer; raises when it failed and the caller was not told
    session.give_up(error)      tells the caller, in its dialect
    session.finish()            ends the HTTP message

What the caller has is remembered (`Delivered`) only as far as the policy needs it: with `on_cut: error` up to the first
content event, else up to a cap.
"""

import asyncio
from collections.abc import Mapping
from functools import partial

import msgspec
from aiohttp import HttpVersion11
from aiohttp.web_request import BaseRequest

from proxy.attempt import Call, Opened, tellable
from proxy.dialects.base import BreaksOnError, Dialect, StreamContext, TakesComments
from proxy.hub.codec import AdoptsStream, EndsOnce, StreamDecoder, StreamEncoder
from proxy.hub.continuation import Delivered, JoinedDecoder, Prefill, Restart
from proxy.hub.errors import ErrorKind, UpstreamError
from proxy.hub.events import StreamError
from proxy.hub.transcode import Convert, Passthrough, Tellable, Transcoder
from proxy.record import CallRecord
from proxy.relay import Deadlines, Relay, Sink
from proxy.server.protocol import CallerProtocol
from proxy.server.stream import CallerStream, StreamSink, reset
from proxy.upstream import Exchange

MAX_DELIVERED_BYTES = 2 * 1024 * 1024
"""Of an answer's text that is remembered for joining; a longer answer is not joined."""


class Session:
    """See the module."""

    def __init__(
        self,
        request: BaseRequest,
        dialect: Dialect,
        record: CallRecord,
        *,
        holds_cuts: bool,
        heartbeat_s: float,
        loop: asyncio.AbstractEventLoop,
        remembers_bytes: int = 0,
    ) -> None:
        """`remembers_bytes`: what of the answer somebody wants to look at afterwards."""
        self.response: CallerStream | None = None
        self._max_delivered_bytes = MAX_DELIVERED_BYTES if holds_cuts else remembers_bytes
        self.delivered = Delivered(self._max_delivered_bytes)
        self._request = request
        self._dialect = dialect
        self._record = record
        self._holds_cuts = holds_cuts
        self._heartbeat_s = heartbeat_s
        self._loop = loop
        self._sink: StreamSink | None = None
        self._transcoder: Transcoder | None = None

    @property
    def is_begun(self) -> bool:
        """Whether the status is out."""
        return self._sink is not None and self._sink.is_begun

    @property
    def can_join(self) -> bool:
        """Whether a second answer may go on from what was delivered."""
        return self.delivered.is_complete and (self._holds_cuts or not self.delivered.has_content)

    async def run(
        self, call: Call, opened: Opened, context: StreamContext, headers: Mapping[str, str], *, is_prefilled: bool
    ) -> None:
        """Relay one upstream's answer to its ending. Raises UpstreamError when it failed quietly."""
        if not self.is_begun:
            self.delivered = Delivered(self._max_delivered_bytes)
            self.response = CallerStream(
                content_type=call.envelope.content_type or self._dialect.content_type,
                headers=headers,
                caller_stall_s=opened.target.timeouts.caller_stall_s,
            )
            self._sink = StreamSink(self._request, self.response)
        transcoder = self._transcoder = self._make_transcoder(opened, context, is_prefilled=is_prefilled)
        assert self._sink is not None
        is_exact = isinstance(transcoder, Passthrough)
        relay = self.relay(transcoder, opened, self._sink, is_exact=is_exact)
        if not self._max_delivered_bytes:  # Else the question may be asked again, or looked at afterwards.
            relay.on_first_content = call.let_go
        opened.exchange.let_go_of_head()
        await follow(relay, opened.exchange, self._request)
        if relay.failure is None and transcoder.summary.end is not None and not self.is_begun:
            # A whole answer of which the dialect shows nothing: calls, in a stream of text alone.
            self._sink.begin()
        if relay.failure is not None or not self.is_begun:
            raise failure(relay)

    def relay(self, transcoder: Transcoder, opened: Opened, sink: Sink, *, is_exact: bool) -> Relay:
        """A relay of one upstream's answer, with the target's deadlines."""
        timeouts = opened.target.timeouts
        return Relay(
            transcoder=transcoder,
            source=opened.exchange,
            sink=sink,
            deadlines=Deadlines(
                first_event_s=timeouts.first_event_s,
                idle_s=timeouts.idle_s,
                total_s=timeouts.total_s,
                caller_stall_s=timeouts.caller_stall_s,
                heartbeat_s=self._heartbeat_s,
            ),
            record=self._record,
            is_exact=is_exact,
            holds_cuts=self._holds_cuts,
            loop=self._loop,
        )

    def give_up(self, error: UpstreamError) -> None:
        """Tell the caller of the fault that no second answer mended."""
        assert self._transcoder is not None
        assert self._sink is not None
        # The transcoder that failed last still holds its ending; it is said with the fault that came first.
        self._transcoder.summary.error = StreamError(error.kind, error.message, error.code)
        out = self._transcoder.ending()
        self._record.bytes_down += len(out)
        self._record.error = error.kind
        if out:  # an empty chunk would be the last one: the end of a whole message
            self._sink.write(out)

    async def finish(self, timeout_s: float) -> None:
        """End the HTTP message; a caller that takes nothing of what waits for it for `timeout_s` loses its connection."""
        assert self.response is not None
        assert self._sink is not None
        if self._must_break():
            self._break()
            return
        protocol = self._request.protocol
        assert isinstance(protocol, CallerProtocol)
        try:
            if not self.response.is_whole:
                self._sink.write_last(b"")
            if protocol.writing_paused:
                await self._until_taken(protocol, self._sink, timeout_s)
            if not self.response.is_whole:
                await self.response.write_eof()
        except ConnectionError:
            # The caller has left, or was let go; the relay knows, and nobody is there to be told.
            return
        except TimeoutError:
            if self._request.transport is not None:
                reset(self._request.transport)

    @staticmethod
    async def _until_taken(protocol: CallerProtocol, sink: StreamSink, timeout_s: float) -> None:
        """Until little waits for the caller. Raises TimeoutError when it has taken nothing for `timeout_s`."""
        waiting = sink.waiting_bytes()
        while True:
            try:
                async with asyncio.timeout(timeout_s):
                    return await protocol.drain_writes()
            except TimeoutError:
                left = sink.waiting_bytes()
                if left >= waiting:
                    raise
                waiting = left

    def _must_break(self) -> bool:
        """Whether the stream has failed and its dialect cannot say so."""
        if self._transcoder is None or self._transcoder.summary.error is None:
            return False
        return isinstance(self._dialect, BreaksOnError) and self._dialect.breaks_on_error

    def _break(self) -> None:
        """End the connection so that the caller sees a broken message, and everything that came before it."""
        transport = self._request.transport
        if transport is None:
            return
        if self._request.version >= HttpVersion11:
            # Without its last chunk the message is broken; what is still on its way arrives.
            transport.close()
        else:
            reset(transport)

    def _make_transcoder(self, opened: Opened, context: StreamContext, *, is_prefilled: bool) -> Transcoder:
        provider, target = opened.target.provider, opened.target.target
        decoder = opened.decoder()
        delivered = self.delivered if self.can_join else None
        told = partial(tellable, opened.target.credential_value)
        if self.is_begun:
            return self._join(decoder, context, told, is_prefilled=is_prefilled)
        if opened.is_native and not opened.is_whole and not (self._holds_cuts and opened.is_array):
            return Passthrough(
                provider.splitter(target),
                decoder,
                partial(make_encoder, self._dialect, context),
                provider.is_terminator,
                delivered,
                told,
            )
        return Convert(decoder, self._dialect.encoder(context), delivered, told)

    def _join(
        self, decoder: StreamDecoder, context: StreamContext, told: Tellable, *, is_prefilled: bool
    ) -> Transcoder:
        delivered = self.delivered
        joint = Prefill(delivered) if is_prefilled else Restart(delivered)
        encoder = self._encoder_in_place(context)
        if delivered.has_content:
            self._note_join()
        return Convert(JoinedDecoder(decoder, joint), encoder, delivered, told)

    def _note_join(self) -> None:
        """Count a join, and say the count where the dialect has a place for it: the headers are out."""
        record = self._record
        record.joins += 1
        if self._sink is not None and isinstance(self._dialect, TakesComments):
            self._sink.write(b": x-proxy-joins %d %b\n\n" % (record.joins, record.provider.encode()))

    def _encoder_in_place(self, context: StreamContext) -> StreamEncoder:
        """The encoder that wrote the stream so far; after a byte-exact relay a fresh one, brought to the same state."""
        if isinstance(self._transcoder, Convert):
            return self._transcoder.encoder
        has_relayed = isinstance(self._transcoder, Passthrough) and self._transcoder.has_relayed
        encoder = make_encoder(self._dialect, context, has_relayed)
        if isinstance(encoder, AdoptsStream):
            encoder.adopt(self.delivered.events())
        else:
            encoder.encode(self.delivered.events())
        if self.delivered.has_finish_reason and isinstance(encoder, EndsOnce):
            encoder.note_finish_reason()
        return encoder


def make_encoder(dialect: Dialect, context: StreamContext, is_relayed: bool) -> StreamEncoder:
    """The writer of a stream, or of the rest of one that was relayed until now.

    No method of `Session`: a transcoder that refers to its session keeps both for the garbage collector.
    """
    return dialect.encoder(msgspec.structs.replace(context, is_relayed=is_relayed))


async def follow(relay: Relay, exchange: Exchange, request: BaseRequest) -> None:
    """Until the relay ends. The connection tells the relay of its flow control and of its loss."""
    protocol = request.protocol
    assert isinstance(protocol, CallerProtocol)
    protocol.watcher = relay
    if protocol.writing_paused:
        relay.caller_paused()
    try:
        transport = request.transport
        if transport is not None and not transport.is_closing():
            exchange.start(relay)
        # Else the caller is gone, of which the connection tells in the next turn.
        await relay.done
    except asyncio.CancelledError:
        relay.caller_left()
        raise
    finally:
        protocol.watcher = None


def failure(relay: Relay, seen: StreamError | None = None) -> UpstreamError:
    """The fault of a stream of which the caller knows nothing yet; `seen`: what its transcoder says of it."""
    error = relay.failure or seen or StreamError(ErrorKind.CUT, "The provider's answer was empty.")
    retry_after_s = 1.0 if error.kind in (ErrorKind.KILLED, ErrorKind.DRAINED) else None
    return UpstreamError(error.kind, error.message, code=error.code, retry_after_s=retry_after_s)
