"""The proxy that a module's tests share."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.proxied import Proxied, proxied


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_proxy(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Proxied]:
    """For modules whose tests run on the module's event loop (`pytest.mark.asyncio(loop_scope="module")`)."""
    async with proxied(tmp_path_factory.mktemp("proxy")) as running:
        yield running
