"""The built-in simulated model: a real HTTP server on loopback, in the proxy's own process, once somebody needs it."""

import msgspec

from proxy.config import Config, Provider
from proxy.demo import DemoServer
from proxy.presets import DEMO


class Embedded:
    """The simulated model's server, and where it listens."""

    def __init__(self) -> None:
        self.base_url: str | None = None
        """`None`: no configuration so far has named a demo provider."""
        self._server: DemoServer | None = None

    async def prepare(self, config: Config) -> None:
        """Listen on a free port if `config` needs it, and nobody before did.

        A later configuration without it changes nothing: streams may still come from there.
        """
        if self.base_url is not None or not any(_is_embedded(provider) for provider in config.providers):
            return
        self._server = DemoServer()
        self.base_url = await self._server.start("127.0.0.1", 0)

    async def stop(self) -> None:
        """Listen no longer, if it did."""
        if self._server is not None:
            await self._server.stop()

    def fill(self, config: Config) -> Config:
        """`config` with the address of its `demo` providers that have none of their own."""
        providers = tuple(
            msgspec.structs.replace(provider, base_url=self.base_url) if _is_embedded(provider) else provider
            for provider in config.providers
        )
        return msgspec.structs.replace(config, providers=providers)


def _is_embedded(provider: Provider) -> bool:
    return provider.kind == DEMO and provider.base_url is None
