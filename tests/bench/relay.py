"""The relay that one writes first: aiohttp on both sides, no conversion, no deadlines, no metrics.

python relay.py PORT UPSTREAM_PORT
"""

import sys
from collections.abc import AsyncIterator

from aiohttp import ClientSession, ClientTimeout, TCPConnector, web

SESSION = web.AppKey("session", ClientSession)
FORWARDED = ("content-type", "cache-control", "x-request-id")


async def relay(request: web.Request) -> web.StreamResponse:
    """Post the body on and write what comes, as it comes."""
    upstream = f"http://127.0.0.1:{sys.argv[2]}{request.rel_url}"
    headers = {"content-type": "application/json"}
    async with request.app[SESSION].post(upstream, data=await request.read(), headers=headers) as answer:
        kept = {name: answer.headers[name] for name in FORWARDED if name in answer.headers}
        response = web.StreamResponse(status=answer.status, headers=kept)
        await response.prepare(request)
        async for piece in answer.content.iter_any():
            await response.write(piece)
        await response.write_eof()
        return response


async def session(app: web.Application) -> AsyncIterator[None]:
    app[SESSION] = ClientSession(
        connector=TCPConnector(limit=0), timeout=ClientTimeout(total=None), auto_decompress=False
    )
    yield
    await app[SESSION].close()


if __name__ == "__main__":
    app = web.Application()
    app.router.add_post("/{path:.*}", relay)
    app.cleanup_ctx.append(session)
    web.run_app(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        access_log=None,
        print=None,
        handler_cancellation=True,
        backlog=4096,
    )
