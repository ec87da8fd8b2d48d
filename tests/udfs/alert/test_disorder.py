"""Samples that come behind event time, as behind an outage or a slow half of the gate: nothing ends that was true."""

import pytest

from tests.udfs.alert.fakeflink import FakeFlink
from tests.udfs.alert.scenario import T0
from tests.udfs.alert.test_flink import up
from udfs.alert.rule import Rule

STEADY = Rule("acme", "g/S", "g", "S", "count by (host) (count_over_time(up[30s])) > 0", interval_s=10)


def pass_time(job: FakeFlink, until: int) -> None:
    """Move the clock as if in seconds, since keys that wait ask again and again."""
    for now in range(job.clock, until, 1_000):
        job.wait(now)


def behind(job: FakeFlink, restarts: bool, gate_ms: int = 0) -> list[str]:
    """Return the states of a and b, which send each 10 s, after two minutes in which no job ran.

    What a has sent meanwhile comes first, and event time goes on with it, past all that b has sent. gate_ms: how long
    nothing comes but what the gate had passed before.
    """
    for at in range(T0, T0 + 30_000, 10_000):
        job.clock = at + 5_000
        for host in "ab":
            job.batch(up(at, 1.0, host), at)
        job.beat(at)
        job.advance(at)
    job.clock = T0 + 144_000
    if gate_ms:
        for host in "ab":
            job.batch(up(T0 + 30_000, 1.0, host), T0 + 30_000)
        job.advance(T0 + 30_000)
        pass_time(job, job.clock + gate_ms)
    back = job.clock // 10_000 * 10_000
    for host in "ab":
        for at in range(T0 + 40_000 if gate_ms else T0 + 30_000, back, 10_000):
            job.batch(up(at, 1.0, host), at)
        job.advance(back)
        if restarts:
            job.restart()
    for at in range(back, back + 50_000, 10_000):
        for host in "ab":
            job.batch(up(at, 1.0, host), at)
        job.beat(at)
        job.advance(at)
        pass_time(job, at + 13_000)
    return [event["state"] for event in job.events]


def test_behind_an_outage_ticks_wait_for_what_comes_in_disorder() -> None:
    hasty = FakeFlink(settle_ms=0)
    hasty.rule(STEADY.key, STEADY.encode())
    assert behind(hasty, restarts=False).count("resolved") == 1


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("gate_ms", [0, 25_000, 200_000])
def test_and_what_was_true_all_along_does_not_end(restarts: bool, gate_ms: int) -> None:
    job = FakeFlink(settle_ms=10_000)
    job.rule(STEADY.key, STEADY.encode())
    assert behind(job, restarts, gate_ms) == ["firing", "firing"]
    assert job.alarms == []


def halves(job: FakeFlink, stalled_s: int) -> list[str]:
    """Return what is told of b where a sends by one half of the gate and b by another, which stalls for a while.

    Both send each second, as the clock beats. Event time follows the half that is quick.
    """
    job.rule(BRIEF.key, BRIEF.encode())
    for second in range(0, 200):
        at = T0 + second * 1000
        resumes = second == 30 + stalled_s
        job.clock = at + 300
        job.batch(up(at, 1.0, "a"), at)
        job.beat(at, 0, 2)
        if not 30 <= second < 30 + stalled_s:
            for late in range(30 if resumes else second, second + 1):
                job.batch(up(T0 + late * 1000, 1.0, "b"), T0 + late * 1000)
                job.beat(T0 + late * 1000, 1, 2)
        job.advance(at)
        pass_time(job, at + 1_000)
    assert [event["state"] for event in job.events if event["labels"]["host"] == "a"] == ["firing"]
    return [event["state"] for event in job.events if event["labels"]["host"] == "b"]


BRIEF = Rule("acme", "g/B", "g", "B", "count by (host) (count_over_time(up[15s])) > 0", interval_s=5)


def test_a_half_of_the_gate_that_is_slow_ends_no_alert() -> None:
    hasty = FakeFlink(settle_ms=0)
    assert halves(hasty, 30) == ["firing", "resolved", "firing"]
    job = FakeFlink(settle_ms=10_000)
    assert halves(job, 30) == ["firing"]
    assert job.metrics.counters["ticks_unheard"].count == 0
    assert job.metrics.counters["late_samples_unjudged"].count == 0


def test_one_that_reads_nothing_ends_no_alerting() -> None:
    job = FakeFlink(settle_ms=10_000)
    assert halves(job, 130) == ["firing", "resolved", "firing"]
    assert job.metrics.counters["ticks_unheard"].count > 0
