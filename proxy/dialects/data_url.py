"""`data:` URLs (RFC 2397), in which callers put images and files."""

import base64
from urllib.parse import unquote_to_bytes

from proxy.dialects.json_body import wrong
from proxy.hub.request import DataSource, UrlSource

_BASE64 = ";base64"


def source_of(url: str, path: str) -> UrlSource | DataSource:
    """What `url` names: its own data, or something that the provider is to fetch. Raises CallerError at `path`."""
    if url[:5].lower() == "data:":
        return read_data_url(url, path)
    if not url:
        raise wrong(path, "a URL", url)
    return UrlSource(url)


def read_data_url(url: str, path: str) -> DataSource:
    """The data in `url` as base64 without white space. Parameters of its media type are left out."""
    head, comma, data = url[5:].partition(",")
    if not comma or not data:
        raise wrong(path, "a data URL: data:<media type>;base64,<data>", url[:40])
    is_base64 = head.endswith(_BASE64)
    media_type = head.removesuffix(_BASE64).partition(";")[0].lower() or "text/plain"
    if not is_base64:
        return DataSource(media_type, base64.b64encode(unquote_to_bytes(data)).decode())
    return DataSource(media_type, plain_base64(data, path))


def plain_base64(data: str, path: str) -> str:
    """`data` without the white space that some encoders put in. Raises CallerError at `path` for an empty text."""
    if any(character.isspace() for character in data[:200]) or "\n" in data:
        data = "".join(data.split())
    if not data:
        raise wrong(path, "base64 data", data)
    return data
