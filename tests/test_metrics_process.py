"""What a process says of itself, compared with what the operating system says."""

import os
import time
from pathlib import Path

import prometheus_client
import pytest

from proxy.metrics_process import ALONE, ProcessMetrics, read_process


def test_a_reading_is_what_the_system_says() -> None:
    before = len(os.listdir("/proc/self/fd")) - 1

    with open(os.devnull):
        reading = read_process()

    assert reading is not None
    assert reading.open_files == before + 1
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    assert reading.resident_bytes / 1024 == pytest.approx(int(status["VmRSS"].split()[0]), rel=0.1)
    assert reading.virtual_bytes > reading.resident_bytes
    assert 0 < reading.cpu_s <= time.process_time()
    assert time.time() - 3600 * 24 < reading.started_at <= time.time()


async def test_values_bear_the_name_of_the_process_and_cpu_time_never_falls() -> None:
    registry = prometheus_client.CollectorRegistry()
    process = ProcessMetrics(registry)
    process.rename("worker-1")

    await process.refresh()
    first = registry.get_sample_value("process_cpu_seconds_total", {"process": "worker-1"})
    await process.refresh()
    second = registry.get_sample_value("process_cpu_seconds_total", {"process": "worker-1"})

    assert first is not None and second is not None and 0 < first <= second
    assert registry.get_sample_value("process_open_fds", {"process": ALONE}) is None
