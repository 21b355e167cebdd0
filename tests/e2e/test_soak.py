"""A short run of the mixed soak: `python -m tests.soak.mixed` is the long one."""

import pytest

from tests.soak.mixed import run


@pytest.mark.timeout(120)
async def test_mixed_calls_end_as_they_are_logged_and_leave_nothing() -> None:
    assert await run(minutes=0.05, streams=25, is_shared=True, total_s=4) == []
