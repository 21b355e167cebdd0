"""The built-in simulated model: a real HTTP server on loopback, in the proxy's own process."""

import contextlib

import msgspec

from proxy.config import Config, Provider
from proxy.demo import DemoServer
from proxy.presets import DEMO


class Embedded:
    """The simulated model's server, and where it listens."""

    def __init__(self, base_url: str | None) -> None:
        self.base_url = base_url
        """`None`: the configuration named no demo provider when the process started."""

    @classmethod
    async def start(cls, config: Config, resources: contextlib.AsyncExitStack) -> "Embedded":
        """Listen on a free port if `config` needs it; `resources` stops it."""
        if not any(_is_embedded(provider) for provider in config.providers):
            return cls(None)
        demo = DemoServer()
        base_url = await demo.start("127.0.0.1", 0)
        resources.push_async_callback(demo.stop)
        return cls(base_url)

    def fill(self, config: Config) -> Config:
        """`config` with the address of its `demo` providers that have none of their own."""
        providers = tuple(
            msgspec.structs.replace(provider, base_url=self.base_url) if _is_embedded(provider) else provider
            for provider in config.providers
        )
        return msgspec.structs.replace(config, providers=providers)


def _is_embedded(provider: Provider) -> bool:
    return provider.kind == DEMO and provider.base_url is None
