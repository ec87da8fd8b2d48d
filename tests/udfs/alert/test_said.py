"""A job that comes back from an older checkpoint stands by what it had said, whatever it would say now."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.codec import codec
from tests.udfs.alert.fakeflink import FakeFlink
from tests.udfs.alert.scenario import T0
from tests.udfs.alert.test_flink import up
from udfs.alert.memory import Memory
from udfs.alert.rule import Rule

STEP = 10_000
RULE = Rule("acme", "g/A", "g", "A", "up == 0", interval_s=10)
NEVER = replace(RULE, expr="up == 7")
OPEN = ("pending", "firing")


def play(job: FakeFlink, hosts: dict[str, str], first: int, last: int, late: frozenset[tuple[str, int]]) -> None:
    """Deliver what hosts send at ticks first to last, - is nothing, those late two ticks behind; event time with it."""
    for tick in range(first, last):
        for host, values in hosts.items():
            for at in (tick, tick - 2):
                if at >= first and ((host, at) in late) == (at != tick) and values[at] != "-":
                    job.batch(up(T0 + at * STEP, float(values[at]), host), T0 + at * STEP)
        job.advance(T0 + tick * STEP)


def deliver(job: FakeFlink, rule: Rule | None) -> None:
    job.rule(RULE.key, rule.encode() if rule else None)


def crash(
    rules: tuple[Rule, Rule | None], ticks: tuple[int, int, int], hosts: dict[str, str], late: frozenset[Any]
) -> FakeFlink:
    """Return the job after a run from tick 0 that dies, and one from its checkpoint to the end.

    ticks: of the checkpoint, of the edit, and of the crash. What was late the first time is in time the second.
    """
    job = FakeFlink()
    kept, edit, dies = ticks
    deliver(job, rules[0])
    play(job, hosts, 0, kept, late)
    checkpoint = job.checkpoint()
    play(job, hosts, kept, edit, late)
    deliver(job, rules[1])
    play(job, hosts, edit, dies, late)
    job.restore(checkpoint)
    deliver(job, rules[1])
    play(job, hosts, kept, len(hosts["a"]), frozenset())
    return job


def told(job: FakeFlink) -> list[tuple[str, int]]:
    return [(one["state"], (one["evaluated_at"] - T0) // STEP) for one in job.events]


def pages(job: FakeFlink) -> set[Any]:
    """Return what is open for one who opens at `firing` and closes at `resolved`, once per key, never back in time."""
    seen: set[str] = set()
    newest: dict[Any, int] = {}
    opened: set[Any] = set()
    for one in job.events:
        labels = tuple(sorted(one["labels"].items()))
        if one["key"] in seen or one["evaluated_at"] < newest.get(labels, 0) or not one["seq"]:
            continue
        seen.add(one["key"])
        newest[labels] = one["evaluated_at"]
        if one["state"] == "firing":
            opened.add(labels)
        elif one["state"] == "resolved":
            opened.discard(labels)
    return opened


def by_time(job: FakeFlink) -> dict[Any, str]:
    """Return what is pending or fires for /api/v1/alerts, which goes by the time, then by ends first."""
    ordered = sorted(job.events, key=lambda one: (one["evaluated_at"], one["state"] in OPEN, one["seq"]))
    state = {tuple(sorted(one["labels"].items())): one["state"] for one in ordered if one["seq"]}
    return {labels: one for labels, one in state.items() if one in OPEN}


def held(job: FakeFlink) -> dict[Any, str]:
    """Return the same as the job has it."""
    memories = [Memory.decode(one["memory"]) for one in job.stored.values() if "memory" in one]
    return {one.labels: one.state for memory in memories for one in memory.instances if one.live}


def test_a_firing_that_the_edited_rule_does_not_make_is_resolved() -> None:
    job = crash((RULE, NEVER), (3, 6, 6), {"a": "111000000000"}, frozenset())
    assert told(job) == [("firing", 3), ("resolved", 3)]
    assert job.events[0]["starts_at"] == job.events[1]["starts_at"]


def test_a_resolution_that_the_edited_rule_does_not_make_is_followed_by_a_firing() -> None:
    """Nobody who acts once per key would hear of the firing that goes on."""
    job = crash((RULE, replace(RULE, expr="up < 2")), (3, 6, 6), {"a": "000111111111"}, frozenset())
    assert told(job) == [("firing", 0), ("resolved", 3), ("firing", 3)]
    assert len({one["key"] for one in job.events}) == 3
    assert job.events[0]["starts_at"] == job.events[2]["starts_at"]


def test_a_firing_of_a_rule_that_was_deleted_is_resolved() -> None:
    job = crash((RULE, None), (3, 6, 6), {"a": "111000000000"}, frozenset())
    assert told(job) == [("firing", 3), ("resolved", 3)]
    first, last = job.events
    assert first["evaluated_at"] < last["evaluated_at"]


def test_a_firing_for_want_of_samples_that_are_in_time_now_is_resolved() -> None:
    rule = replace(RULE, expr="count_over_time(up[30s]) < 3")
    job = crash((rule, rule), (4, 6, 6), {"a": "111111111111"}, frozenset({("a", 4), ("a", 5)}))
    assert told(job) == [("firing", 0), ("resolved", 2), ("firing", 4), ("resolved", 4)]


def test_what_is_said_again_word_for_word_is_taken_for_what_it_is() -> None:
    rule = replace(RULE, for_s=20)
    job = crash((rule, rule), (3, 8, 8), {"a": "100000000011", "b": "011111000111"}, frozenset())
    once = FakeFlink()
    deliver(once, rule)
    play(once, {"a": "100000000011", "b": "011111000111"}, 0, 12, frozenset())
    assert {one["key"]: one["seq"] for one in job.events} == {one["key"]: one["seq"] for one in once.events}
    assert held(job) == held(once)


def addressed(address: str) -> bytes:
    """Return an event that names such a key."""
    (record,) = crash((RULE, RULE), (1, 1, 1), {"a": "1110"}, frozenset()).topic
    return codec("alert_event").encode({**codec("alert_event").decode(record), "address": address})


@pytest.mark.parametrize("record", [b"", b"nonsense", addressed("{"), addressed("[1]"), addressed("1")])
def test_what_is_unreadable_is_passed_over(record: bytes, caplog: pytest.LogCaptureFixture) -> None:
    job = FakeFlink()
    deliver(job, RULE)
    job.topic.append(record)
    job.restart()
    play(job, {"a": "00"}, 0, 2, frozenset())
    assert told(job) == [("firing", 0)]
    assert "unreadable" in caplog.text


# Each key has state at the checkpoint: what neither it nor a rule in force has, nobody can end. And no edit makes other
# keys: what the old ones end then stands behind what the new ones began.
_VALUES = st.text(alphabet="0012-", min_size=12, max_size=12).map(lambda text: "11" + text + "1" * 8)
_RULES = st.builds(
    lambda expr, for_s, keep: replace(RULE, expr=expr, for_s=for_s, keep_firing_for_s=keep),
    st.sampled_from(["up == 0", "up < 2", "up == 7", "up > 0", "up + up == 2", "-up == 0"]),
    st.sampled_from([0, 20]),
    st.sampled_from([0, 30]),
)
_LATE = st.frozensets(st.tuples(st.sampled_from("abc"), st.integers(2, 13)), max_size=8)


@given(
    rules=st.tuples(_RULES, st.one_of(_RULES, st.none())),
    ticks=st.lists(st.integers(2, 14), min_size=3, max_size=3).map(lambda three: tuple(sorted(three))),
    hosts=st.fixed_dictionaries(dict.fromkeys("abc", _VALUES)),
    late=_LATE,
)
@example((RULE, NEVER), (3, 6, 6), dict.fromkeys("abc", "11100000000000" + "1" * 8), frozenset())
def test_who_reads_the_topic_knows_what_the_job_knows(
    rules: tuple[Rule, Rule | None], ticks: tuple[int, int, int], hosts: dict[str, str], late: frozenset[Any]
) -> None:
    job = crash(rules, ticks, hosts, late)
    live = held(job)
    assert by_time(job) == live
    assert pages(job) == {labels for labels, state in live.items() if state == "firing"}
