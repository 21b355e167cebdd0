"""The playground: one static page that streams from this proxy. It loads nothing from anywhere else.

Served at `/` and below `/playground/`. The policy forbids inline scripts and styles and every foreign address, so that
nothing a model writes can run or call out, even if the page made the mistake of reading it as HTML.
"""

from functools import cache
from hashlib import blake2b
from http import HTTPStatus
from pathlib import Path

import msgspec
from aiohttp import web
from aiohttp.web_request import BaseRequest

INDEX = "index.html"

_FOLDER = Path(__file__).parent

_MEDIA_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}
"""Files of other kinds are not served."""

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:;"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


class _File(msgspec.Struct, frozen=True):
    body: bytes
    media_type: str
    etag: str


async def answer_playground(request: BaseRequest) -> web.StreamResponse:
    """The page for `/` and `/playground`, its files for `/playground/NAME`, 404 for anything else."""
    name = request.path.removeprefix("/").removeprefix("playground").removeprefix("/") or INDEX
    file = _files().get(name)
    if file is None:
        return web.Response(status=HTTPStatus.NOT_FOUND, text="There is no such file in the playground.\n")
    headers = {**_HEADERS, "ETag": file.etag}
    if request.headers.get("If-None-Match") == file.etag:
        return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
    return web.Response(body=file.body, content_type=file.media_type, charset="utf-8", headers=headers)


@cache
def _files() -> dict[str, _File]:
    """Everything that is served, by name: read once, at the first request."""
    found: dict[str, _File] = {}
    for path in _FOLDER.iterdir():
        if (media_type := _MEDIA_TYPES.get(path.suffix)) is not None:
            body = path.read_bytes()
            found[path.name] = _File(body, media_type, f'"{blake2b(body, digest_size=12).hexdigest()}"')
    return found
