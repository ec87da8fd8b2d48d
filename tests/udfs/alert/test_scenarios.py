"""A scenario comes out the same as written, with a restart before every tick, with batches shuffled and repeated."""

import random
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.udfs.alert.fakeflink import FakeFlink
from tests.udfs.alert.scenario import Scenario, lines, load, sent_lines

HERE = Path(__file__).parent
SENDS = [load(path) for path in sorted((HERE / "sends").glob("*.yaml"))]
LATE = [load(path) for path in sorted((HERE / "late").glob("*.yaml"))]
SCENARIOS = [load(path) for path in sorted((HERE / "scenarios").glob("*.yaml"))] + SENDS + LATE
each = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.name)


@each
def test_the_events_are_those_written_down(scenario: Scenario) -> None:
    assert lines(scenario.run()) == scenario.events


@each
def test_a_restart_before_every_tick_changes_nothing(scenario: Scenario) -> None:
    assert scenario.run(disturb=FakeFlink.restart).sent == scenario.run().sent


@pytest.mark.parametrize("scenario", SENDS, ids=lambda one: one.name)
def test_what_is_sent_is_what_the_specification_of_alert_generators_asks(scenario: Scenario) -> None:
    assert sent_lines(scenario.run()) == scenario.sent


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(), which=st.sampled_from(SCENARIOS))
def test_order_and_repeats_of_batches_change_nothing(seed: int, which: Scenario) -> None:
    def by_key(job: FakeFlink) -> list[dict[str, Any]]:
        return sorted(job.sent, key=itemgetter("key", "resend"))

    assert by_key(which.run(shuffle=random.Random(seed))) == by_key(which.run())


@each
def test_the_whole_topic_again_gives_the_same_events(scenario: Scenario) -> None:
    first, second = scenario.run(), scenario.run()
    assert first.sent == second.sent
    keys = [one["key"] for one in first.events]
    assert len(set(keys)) == len(keys)
    assert {one["key"] for one in first.sent} == set(keys), "what is said again is said of a transition"


@each
def test_state_is_gone_when_nothing_is_left_to_judge(scenario: Scenario) -> None:
    job = scenario.run()
    job.advance(job.watermark + 3 * 3_600_000)
    assert job.stored == {} and job.timers == []
    newest = {str(one["labels"]): one["state"] for one in job.events if one["state"] not in ("missed", "retracted")}
    assert set(newest.values()) <= {"resolved", "inactive"}
