"""What holds for every test: how Hypothesis searches, and that CI skips nothing.

FORBID_SKIPS=1 turns each skip into a failure, except for recordings that are absent: a gate that cannot run its SDK
matrix must be red, not quiet. HYPOTHESIS_PROFILE=thorough searches longer.
"""

import logging
import os
from collections.abc import Generator, Iterator
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings

from tests.support import node
from tests.support.canary import LogWatch
from tests.support.corpus import ABSENT

_SHARED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow], "print_blob": True}
settings.register_profile("default", max_examples=60, **_SHARED)
settings.register_profile("ci", max_examples=60, derandomize=True, **_SHARED)
settings.register_profile("thorough", max_examples=3000, **_SHARED)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)

FORBID_SKIPS = os.environ.get("FORBID_SKIPS") == "1"


def pytest_sessionfinish() -> None:
    node.stop()


@pytest.fixture(scope="session")
def _log_watch() -> Iterator[LogWatch]:
    watch = LogWatch()
    logging.getLogger().addHandler(watch)
    yield watch
    logging.getLogger().removeHandler(watch)
    watch.close()


@pytest.fixture(autouse=True)
def _no_canary_is_logged(_log_watch: LogWatch) -> Iterator[None]:
    """What a proxy in this process logs shows neither key nor prompt nor completion; `proxy_process` looks at the others."""
    yield
    lines, _log_watch.lines = _log_watch.lines, []
    assert lines == []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    return _refuse_skip(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    return _refuse_skip(report)


def _refuse_skip(report: Report) -> Report:
    if FORBID_SKIPS and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if ABSENT not in reason:
            report.outcome = "failed"
            report.longrepr = f"skipped although FORBID_SKIPS=1: {reason}"
    return report
