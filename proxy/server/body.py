"""Reading a caller's request body under its limits: size, time, and no surprises in how it is coded."""

import asyncio
import contextlib

from aiohttp import HttpVersion11, StreamReader
from aiohttp.web_request import BaseRequest

from proxy.hub.errors import CallerError, ErrorKind

REST_S = 60.0
"""How long the rest of a refused request is read: as long as a whole body may take by default."""
REST_QUIET_S = 2.0
"""How long a caller of such a request may send nothing of it."""


async def read_body(request: BaseRequest, *, max_bytes: int, timeout_s: float) -> bytes:
    """The whole body. Raises CallerError: too large (413), too slow (408), compressed (415)."""
    coding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        raise CallerError(
            ErrorKind.UNSUPPORTED_MEDIA, "Compressed request bodies are not accepted; send the body as it is."
        )
    if not request.body_exists:
        return b""
    declared = request.content_length
    if declared is not None and declared > max_bytes:
        raise _too_large(max_bytes)
    if request.headers.get("Expect", "").lower() == "100-continue" and request.version >= HttpVersion11:
        transport = request.transport
        if transport is not None:
            transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    content = request.content
    if content.is_eof():
        body = content.read_nowait()
    else:
        body = await _read_all(request, max_bytes, timeout_s)
    if len(body) > max_bytes:
        raise _too_large(max_bytes)
    return body


async def _read_all(request: BaseRequest, max_bytes: int, timeout_s: float) -> bytes:
    content = request.content
    pieces: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(timeout_s):
            while piece := await content.readany():
                pieces.append(piece)
                size += len(piece)
                if size > max_bytes:
                    raise _too_large(max_bytes)
    except TimeoutError as late:
        raise CallerError(
            ErrorKind.REQUEST_TIMEOUT, f"The request body did not arrive within {timeout_s:g} s."
        ) from late
    return b"".join(pieces)


def _too_large(max_bytes: int) -> CallerError:
    return CallerError(ErrorKind.TOO_LARGE, f"The request body exceeds {max_bytes} bytes; send less.")


async def take_rest(content: StreamReader, limit_s: float) -> None:
    """Read what the caller of an answered request still sends of it, for `limit_s` and pauses of `REST_QUIET_S`.

    Most callers look for an answer when they have sent everything. A connection that is closed before is reset by the
    kernel, and they never learn that their body is too large, but send it again.
    """
    with contextlib.suppress(Exception):  # whatever is wrong with the caller or the rest: aiohttp closes then
        async with asyncio.timeout(limit_s):
            while not content.is_eof():
                seen = content.total_bytes
                try:
                    async with asyncio.timeout(REST_QUIET_S):
                        await content.readany()
                except TimeoutError:
                    # A loop that was held up finds the timeout and bytes in the same turn.
                    if content.total_bytes == seen:
                        return
