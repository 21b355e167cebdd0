"""What a model's id decides: the path to call, and whose model it is."""

import re
from urllib.parse import quote

from proxy.hub.events import Origin
from proxy.providers.base import Target
from proxy.providers.request_parts import cannot

MAX_ID_CHARS = 2048

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]*")
_CACHING = re.compile(r"claude|amazon\.nova")


def path(model: str, operation: str) -> str:
    """The path of `operation` on a model, profile or ARN. Raises CallerError for what is no id."""
    if len(model) > MAX_ID_CHARS or _ID.fullmatch(model) is None:
        raise cannot("model", f"expected a model id or an ARN, got {model[:200]!r}")
    return f"/model/{quote(model, safe='')}/{operation}"


def is_claude(target: Target) -> bool:
    """By the id, or by the quirk that says which Claude a deployment is."""
    return target.quirks.claude_version is not None or "claude" in target.model.lower()


def has_cache_points(target: Target) -> bool:
    """Whether the model takes `cachePoint` blocks; others refuse the request."""
    return is_claude(target) or _CACHING.search(target.model.lower()) is not None


def origin(target: Target) -> Origin:
    """Whose proofs the model's reasoning bears. Claude's are Anthropic's own and valid there as well: the redacted content
    of recording bedrock-model-thinking-part-redacted-stream is Anthropic's `data`, once more in base64."""
    return Origin.ANTHROPIC if is_claude(target) else Origin.BEDROCK
