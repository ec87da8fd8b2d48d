"""What stands of a real alert job's events and records: one that comes back from a checkpoint before a firing.

It corrects what it had said, unless that is more than it reads of the topic.
"""

from dataclasses import replace
from typing import Any

import pytest

from query.memory import MemoryStore
from query.standing import standing
from query.store import Alert
from schemas.batch import decode_series_set
from tests.udfs.alert.fakeflink import FakeFlink
from tests.udfs.alert.scenario import T0
from tests.udfs.alert.test_flink import up
from udfs.alert.rule import Rule

M = 60_000
LIVE = ("pending", "firing")
RULE = Rule("acme", "g/Down", "g", "Down", "up == 0", interval_s=30, for_s=60)
OTHER = Rule("acme", "g/Other", "g", "Other", "up == 9", interval_s=30)


def run(job: FakeFlink, first_s: int, last_s: int) -> None:
    for second in range(first_s, last_s + 1, 30):
        job.batch(up(T0 + second * 1000, 0.0), T0 + second * 1000)
        job.advance(T0 + second * 1000)


def stands(job: FakeFlink, minute: int) -> list[str]:
    """Return the states of what stands by what was sent in the first minutes."""
    now, store = T0 + minute * M, MemoryStore()
    for batch in job.recorded:
        at = int(batch.timestamps[0])
        for place, one in enumerate(decode_series_set(batch.series_set) if at <= now else ()):
            labels = {"__name__": one.name, **dict(one.labels)}
            store.write("acme", labels, [(at, float(batch.values[0, place]))], at)
    newest: dict[str, dict[str, Any]] = {}
    # As sql_catalog.alerts has it.
    for event in sorted(job.events, key=lambda one: (one["evaluated_at"], one["state"] in LIVE, one["seq"])):
        if event["evaluated_at"] <= now:
            newest[str(event["labels"])] = event
    fields = ("rule_id", "alert", "state", "labels", "annotations", "value", "active_at", "evaluated_at")
    written = [Alert(*(one[name] for name in fields)) for one in newest.values() if one["state"] in LIVE]
    return [one.state for one in standing(store, "acme", written, now)]


@pytest.mark.parametrize(
    ("edit", "then", "at_last"),
    [
        ({}, "firing", "firing"),
        ({"expr": "up == 7"}, "", ""),
        ({"for_s": 3600}, "pending", "pending"),
        # What it told before it was edited lies half an hour back then, and the other rule's word counts.
        ({"expr": "nothing == 0"}, "firing", ""),
    ],
    ids=["unchanged", "another threshold", "a longer for", "no series any more"],
)
@pytest.mark.parametrize("read", [True, False], ids=["read", "not read"])
def test_a_firing_behind_the_checkpoint(edit: dict[str, Any], then: str, at_last: str, read: bool) -> None:
    job = FakeFlink()
    for rule in (RULE, OTHER):
        job.rule(rule.key, rule.encode())
    run(job, 0, 30)
    checkpoint = job.checkpoint()
    run(job, 60, 60)
    assert stands(job, 1) == ["firing"]
    if not read:
        job.topic.clear()
    job.restore(checkpoint)
    edited = replace(RULE, **edit)
    job.rule(edited.key, edited.encode())
    run(job, 60, 35 * 60)
    if read:
        assert stands(job, 2) == stands(job, 10) == stands(job, 35) == [at_last] * bool(at_last)
        return
    assert stands(job, 4) == ["firing"], "a receiver would wait too"
    assert stands(job, 10) == [then] * bool(then)
    assert stands(job, 35) == [at_last] * bool(at_last)
