"""What upstreams speak: the registry of provider kinds, one line each."""

from proxy.providers.base import Provider

PROVIDERS: dict[str, Provider] = {}
