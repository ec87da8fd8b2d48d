"""What the Flink functions add to the pure parts: bad input, timers, state that goes."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from schemas.batch import Batch, Series, encode_series_set
from schemas.codec import Codec, codec, load_schema
from schemas.ids import series_id
from tests.udfs.alert.fakeflink import NEVER, FakeFlink
from udfs.alert.memory import Memory
from udfs.alert.rule import Rule

T0 = 1_699_999_200_000
RULE = Rule(
    "acme", "g/A", "g", "A", "up == 0", interval_s=10, annotations=(("summary", "{{ $labels.host }}: {{ $value }}"),)
)


def up(at: int, value: float, host: str = "a") -> Batch:
    labels = (("host", host),)
    ids = np.array([series_id("acme", "up", labels)], np.uint64)
    series_set = encode_series_set([Series("up", labels)])
    return Batch("acme", "test", at, series_set, np.array([at]), np.array([[value]]), None, ids, 0)


def job_with(rule: Rule = RULE) -> FakeFlink:
    job = FakeFlink()
    job.rule(rule.key, rule.encode())
    return job


def test_an_event_says_everything() -> None:
    job = job_with()
    job.batch(up(T0, 0.0), T0)
    job.advance(T0)
    (event,) = job.events
    assert event.pop("key")
    assert event == {
        "tenant": "acme",
        "rule_id": "g/A",
        "revision": RULE.revision,
        "alert": "A",
        "state": "firing",
        "labels": {"alertname": "A", "host": "a"},
        "annotations": {"summary": "a: 0"},
        "value": 0.0,
        "active_at": T0,
        "evaluated_at": T0,
        "emitted_at": 4_102_444_800_000,
        "seq": 1,
        "starts_at": T0,
        "ends_at": T0 + 240_000,
        "resend": 0,
        "concerns": "",
        "late": [],
        "late_more": 0,
        "address": next(iter(job.stored)),
        "demotions": 0,
    }


@pytest.mark.parametrize("record", [b"", b"nonsense", up(T0, 0.0).encode()[:-1], b"\xc3\x01"])
def test_an_unreadable_batch_is_counted_and_its_neighbours_are_judged(record: bytes) -> None:
    job = job_with()
    job.raw(record, T0)
    job.batch(up(T0, 0.0), T0)
    job.advance(T0)
    assert job.metrics.counters["records_stray"].count == 1
    assert [one["state"] for one in job.events] == ["firing"]


@pytest.mark.parametrize("value", [b"{}", b"\xff\xfe", Rule("acme", "g/A", "g", "A", "up ==").encode()])
def test_a_bad_rule_is_counted_by_both_steps_and_the_old_one_stays(value: bytes) -> None:
    job = job_with()
    job.rule(RULE.key, value)
    job.restart()
    job.batch(up(T0, 0.0), T0)
    job.advance(T0)
    assert job.metrics.counters["rules_refused"].count == 2
    assert [one["revision"] for one in job.events] == [RULE.revision]


def test_ticks_lie_on_the_grid_and_a_key_has_one_chain() -> None:
    job = job_with()
    for at in range(T0 + 1, T0 + 30_000, 1000):
        job.batch(up(at, 1.0), at)
    assert {at % 10_000 for at, _ in job.timers} == {0}
    job.advance(T0 + 60_000)
    assert len(job.timers) == 1
    assert job.metrics.counters["evaluations"].count == 6


def test_an_edited_interval_moves_to_its_own_grid() -> None:
    job = job_with()
    job.batch(up(T0, 0.0), T0)
    job.advance(T0)
    slower = Rule("acme", "g/A", "g", "A", "up == 0", interval_s=15)
    job.rule(slower.key, slower.encode())
    job.advance(T0 + 29_800)
    assert [at for at, _ in job.timers] == [T0 + 30_000]


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("expr", ["up", "up{host='a'}", "sum(up{host!='b'})", "up{host=~'a|b'}", "up{x=''}"])
def test_what_other_keys_of_an_edited_rule_end_is_told_before_what_begins(expr: str, restarts: bool) -> None:
    job = FakeFlink(FakeFlink.restart if restarts else FakeFlink.idle)
    before = Rule("acme", "g/A", "g", "A", "avg(up)", interval_s=10, labels=(("host", ""),))
    after = Rule("acme", "g/A", "g", "A", expr, interval_s=10, labels=(("host", ""),))
    for turn, rule in enumerate([before, after, before]):
        job.rule(rule.key, rule.encode())
        for at in range(T0 + turn * 30_000, T0 + turn * 30_000 + 30_000, 10_000):
            job.batch(up(at, 1.0), at)
            job.advance(at)
    states = [(one["state"], one["evaluated_at"] - T0) for one in job.events]
    ends = [("firing", 0), ("resolved", 30_000), ("firing", 30_000), ("resolved", 60_000), ("firing", 60_000)]
    assert states == ends


@pytest.mark.parametrize(
    ("intervals", "expected"),
    [
        ((60, 15), [("firing", 0), ("resolved", 135), ("firing", 150)]),
        ((60, 1), [("firing", 0), ("resolved", 121), ("firing", 150)]),
        ((15, 60), [("firing", 0), ("resolved", 150), ("firing", 180)]),
        ((60, 60), [("firing", 0), ("resolved", 180), ("firing", 180)]),
    ],
)
@pytest.mark.parametrize("restarts", [False, True])
def test_an_edit_of_limit_and_interval_ends_before_it_begins(
    intervals: tuple[int, int], expected: list[tuple[str, int]], restarts: bool
) -> None:
    """The last of an alert's events by evaluated_at, ends first, is what it is, as /api/v1/alerts has it."""
    job = FakeFlink(FakeFlink.restart if restarts else FakeFlink.idle)
    before, after = (Rule("acme", "g/A", "g", "A", "up", interval_s=one) for one in intervals)
    for at in range(T0, T0 + 300_000, 15_000):
        rule = before if at < T0 + 150_000 else replace(after, limit=5)
        job.rule(rule.key, rule.encode())
        job.batch(up(at, 1.0), at)
        job.advance(at)
    ordered = sorted(job.events, key=lambda one: (one["evaluated_at"], one["state"] == "firing", one["seq"]))
    assert [(one["state"], (one["evaluated_at"] - T0) // 1000) for one in ordered] == expected


def test_a_late_sample_is_judged_at_the_next_tick() -> None:
    job = job_with()
    job.batch(up(T0, 1.0), T0)
    job.advance(T0 + 20_000)
    job.batch(up(T0 + 5_000, 0.0), T0 + 5_000)
    job.advance(T0 + 30_000)
    assert [(one["state"], one["evaluated_at"] - T0) for one in job.events] == [("firing", 30_000)]


def test_what_the_gate_sends_again_after_a_restore_judges_no_tick_twice() -> None:
    job = job_with()
    for step, value in enumerate([1.0, 1.0, 0.0, 0.0]):
        job.batch(up(T0 + step * 10_000, value), T0 + step * 10_000)
        job.advance(T0 + step * 10_000)
    before = [one["state"] for one in job.events]
    job.restart()
    job.watermark = NEVER  # no checkpoint holds one
    for step, value in enumerate([1.0, 1.0, 0.0, 0.0]):
        job.batch(up(T0 + step * 10_000, value), T0 + step * 10_000)
        job.advance(T0 + step * 10_000)
    assert [one["state"] for one in job.events] == before == ["firing"]
    job.batch(up(T0 + 40_000, 1.0), T0 + 40_000)
    job.advance(T0 + 40_000)
    assert [one["state"] for one in job.events] == ["firing", "resolved"]
    assert len(job.timers) == 1


def test_state_does_not_outlive_its_samples() -> None:
    job = job_with()
    for host in "abc":
        job.batch(up(T0, 1.0, host), T0)
    job.advance(T0 + 3_600_000)
    assert job.stored == {} and job.timers == [] and job.events == []


def test_a_rule_unknown_when_its_tick_comes_leaves_nothing_behind() -> None:
    job = job_with()
    job.batch(up(T0, 1.0), T0)
    job.rule(RULE.key, None)
    job.advance(T0 + 10_000)
    assert job.stored == {} and job.timers == []


def test_what_cannot_be_evaluated_is_counted_and_nothing_moves(caplog: Any) -> None:
    rule = Rule("acme", "g/A", "g", "A", "up == 0", labels=(("host", "all"),), interval_s=10)
    job = job_with(rule)
    # Two hosts of one bucket become the same alert.
    hosts = [f"h{number}" for number in range(40)]
    for host in hosts:
        job.batch(up(T0, 0.0, host), T0)
    job.advance(T0 + 10_000)
    assert job.metrics.counters["evaluation_failures"].count > 0
    assert "TG-rule-evaluation" in caplog.text


def test_an_instance_that_ended_long_ago_is_forgotten_while_its_series_lives() -> None:
    job = job_with()
    for minute in range(30):
        at = T0 + minute * 60_000
        job.batch(up(at, float(minute > 0)), at)
        job.advance(at)
    (state,) = job.stored.values()
    assert [one["state"] for one in job.events] == ["firing", "resolved"]
    assert Memory.decode(state["memory"]).instances == ()


@pytest.mark.parametrize("version", ["alert_state_1", "alert_state_2", "alert_state_3"])
def test_state_of_the_code_before_is_read(version: str) -> None:
    job = job_with()
    job.batch(up(T0, 0.0), T0)
    job.advance(T0)
    (state,) = job.stored.values()
    schema = load_schema(version)
    names = {one["name"] for one in schema["fields"]}
    record = {name: text for name, text in codec("alert_state").decode(state["memory"]).items() if name in names}
    for one in record["instances"]:
        del one["origin"]
        if version == "alert_state_1":
            del one["sent_at"], one["resends"]
    state["memory"] = Codec(schema).encode(record)
    job.restart()
    job.advance(T0 + 10_000)
    job.batch(up(T0 + 15_000, 1.0), T0 + 15_000)
    job.advance(T0 + 20_000)
    assert [one["state"] for one in job.events] == ["firing", "resolved"]
    assert [one["annotations"] for one in job.events] == [{"summary": "a: 0"}] * 2
