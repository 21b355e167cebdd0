"""What is done to each target."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Scenario:
    """A load. Streams bring `deltas` events, one each `interval_us`."""

    name: str
    form: str
    """What it is, in words; `{connections}` and `{rate}` (events/s of a stream) are filled in."""
    connections: int
    deltas: int
    interval_us: int = 0
    ramp_ms: int = 0
    warm_s: float = 0.0
    """Latencies of this first time are not recorded."""
    streams: int | None = None
    """In all; `None`: one for each connection, or as many as begin in `seconds`."""
    seconds: float | None = None
    holds: bool = False
    """Streams stay quiet after their first event, until all callers leave at once."""
    per_write: int = 1

    @property
    def says(self) -> str:
        rate = 1_000_000 // self.interval_us if self.interval_us else 0
        return self.form.format(connections=f"{self.connections:,}", rate=rate)

    @property
    def model(self) -> str:
        """The end of a model's name, which tells the upstream what to do."""
        return f"-n{self.deltas}-i{self.interval_us}-b{self.per_write}"

    def arguments(self) -> list[str]:
        """Of the load generator."""
        given = ["-c", str(self.connections), "-r", str(self.ramp_ms), "-v", str(self.warm_s)]
        if self.holds:
            return [*given, "-l"]
        if self.seconds is not None:
            return [*given, "-t", str(self.seconds), "-e", str(self.deltas)]
        return [*given, "-n", str(self.streams or self.connections), "-e", str(self.deltas)]


QUIET_US = 600_000_000

SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("events", "{connections} streams, {rate} events/s each", 250, 200, 20_000, ramp_ms=800, warm_s=1.0),
        Scenario("short", "{connections} callers, one answer of 5 events after the other", 64, 5, seconds=2.0),
        Scenario("memory", "{connections} open streams without events", 1_000, 2, QUIET_US, ramp_ms=1_500, holds=True),
        Scenario(
            "cancel", "{connections} callers of quiet streams leave at once", 500, 2, QUIET_US, ramp_ms=800, holds=True
        ),
        Scenario("light", "{connections} streams, {rate} events/s each", 5, 150, 20_000, ramp_ms=20, warm_s=0.1),
        Scenario("bulk", "events as fast as they are taken, 16 a write", 64, 500, per_write=16, streams=256),
    )
}
USUAL = ("events", "short", "memory", "cancel")
"""What is measured unless scenarios are named."""


def quick(scenario: Scenario) -> Scenario:
    """A shorter form, with more noise."""
    if scenario.holds:
        return replace(scenario, connections=max(1, scenario.connections // 2), ramp_ms=scenario.ramp_ms // 2)
    if scenario.seconds is not None:
        return replace(scenario, seconds=1.0)
    return replace(scenario, deltas=scenario.deltas // 2)


def slow(scenario: Scenario) -> Scenario:
    """What a target that takes a hundred times the time can do at all."""
    if scenario.holds:
        return replace(scenario, connections=min(200, scenario.connections), ramp_ms=12_000)
    if scenario.seconds is not None:
        return replace(scenario, seconds=scenario.seconds * 2)
    return replace(scenario, connections=5, deltas=min(100, scenario.deltas), streams=None, ramp_ms=20, warm_s=0.1)


def tiny(scenario: Scenario) -> Scenario:
    """Enough to see that everything works; no figure means anything."""
    if scenario.holds:
        return replace(scenario, connections=5, ramp_ms=20)
    if scenario.seconds is not None:
        return replace(scenario, connections=4, seconds=0.2)
    return replace(
        scenario,
        connections=4,
        deltas=20,
        streams=None,
        interval_us=min(2_000, scenario.interval_us),
        ramp_ms=5,
        warm_s=0.0,
    )
