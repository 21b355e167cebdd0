"""What callers speak: the registry of dialects, one line each."""

from proxy.dialects.base import Dialect

DIALECTS: dict[str, Dialect] = {}
