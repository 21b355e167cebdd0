"""The instruments: what a scrape shows of them."""

from proxy.metrics import Metrics
from proxy.metrics_sum import Format, in_slices, write


async def scraped(metrics: Metrics) -> list[str]:
    return b"".join(await in_slices(write(await metrics.families(), Format.TEXT))).decode().splitlines()


async def test_a_scrape_shows_every_instrument_once() -> None:
    metrics = Metrics()

    names = [line.split()[2] for line in await scraped(metrics) if line.startswith("# TYPE")]

    assert len(names) == len(set(names)) == len(metrics.instruments()) > 20


async def test_only_the_configuration_in_use_is_shown() -> None:
    metrics = Metrics()
    metrics.use_config("0123456789abcdef")
    metrics.use_config("fedcba9876543210")

    assert [line for line in await scraped(metrics) if line.startswith("llm_proxy_config_info{")] == [
        'llm_proxy_config_info{digest="fedcba987654"} 1.0'
    ]
