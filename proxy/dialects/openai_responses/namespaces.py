"""Tools in a namespace, for APIs whose tools have only a name.

Codex sends the tools of each MCP server as one `namespace` tool, and wants calls back with name and namespace apart
(Codex CLI 0.169.0). On the way they are one name with `SEPARATOR` in it: every API takes its characters, and nobody
names tools like that, so a call's name alone tells where to cut.
"""

from typing import Final

SEPARATOR: Final = "-__-"
MAX_NAME_CHARS: Final = 64
"""What the strictest APIs take."""


def join(namespace: str | None, name: str) -> str:
    """The one name for a tool."""
    return name if namespace is None else f"{namespace}{SEPARATOR}{name}"


def split(name: str) -> tuple[str | None, str]:
    """The namespace, if there is one, and the name in it."""
    namespace, separator, inner = name.partition(SEPARATOR)
    return (namespace, inner) if separator and namespace and inner else (None, name)
