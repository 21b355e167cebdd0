"""Which handler answers a path. A table of exact paths, then a short list of patterns in order.

Patterns are written as in aiohttp: `{name}` matches one path segment, `{name:regex}` what the regex says.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import unquote

from aiohttp import web
from aiohttp.web_request import BaseRequest

Handler = Callable[[BaseRequest, Mapping[str, str]], Awaitable[web.StreamResponse]]
"""Takes the request and the values of its path's pattern."""

_FIELD = re.compile(r"\{(\w+)(?::((?:[^{}]|\{[^{}]*\})+))?\}")


def pattern_of(path: str) -> re.Pattern[str]:
    """The regular expression of a path pattern."""
    out: list[str] = []
    end = 0
    for field in _FIELD.finditer(path):
        out.append(re.escape(path[end : field.start()]))
        out.append(f"(?P<{field[1]}>{field[2] or '[^/]+'})")
        end = field.end()
    out.append(re.escape(path[end:]))
    return re.compile("".join(out))


class Dispatcher:
    """Finds the handler for a method and path. Built once, then only read."""

    def __init__(self) -> None:
        self._exact: dict[str, dict[str, Handler]] = {}
        self._patterns: list[tuple[re.Pattern[str], dict[str, Handler]]] = []
        self._by_pattern: dict[str, dict[str, Handler]] = {}

    def add(self, method: str, path: str, handler: Handler) -> None:
        """Serve `method` on `path`; the first pattern added wins where two match. `*` serves every method."""
        if "{" not in path:
            self._exact.setdefault(path, {})[method] = handler
            return
        methods = self._by_pattern.get(path)
        if methods is None:
            methods = self._by_pattern[path] = {}
            self._patterns.append((pattern_of(path), methods))
        methods[method] = handler

    def find(self, method: str, raw_path: str) -> tuple[Handler, dict[str, str]] | frozenset[str]:
        """The handler and its path values; or the methods that the path does allow (none: no such path)."""
        methods = self._exact.get(raw_path)
        if methods is not None:
            found = methods.get(method) or methods.get("*")
            if found is not None:
                return found, {}
            return frozenset(methods)
        path = unquote(raw_path)
        allowed: set[str] = set()
        methods = self._exact.get(path) if path != raw_path else None
        if methods is not None and (found := methods.get(method) or methods.get("*")) is not None:
            return found, {}
        for pattern, methods in self._patterns:
            match = pattern.fullmatch(path)
            if match is None:
                continue
            found = methods.get(method) or methods.get("*")
            if found is not None:
                return found, match.groupdict()
            allowed.update(methods)
        return frozenset(allowed)
