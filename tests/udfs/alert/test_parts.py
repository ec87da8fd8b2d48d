"""What a key holds may be larger than a part: it lies in several, is read as one, and goes as one."""

from collections.abc import Callable

import pytest

from tests.udfs.alert.fakeflink import FakeFlink, Map, Value
from tests.udfs.alert.scenario import T0
from tests.udfs.alert.stream import LATE, LATE_ROW, play, rule_of
from udfs.alert.flink import parts
from udfs.alert.flink.parts import Parted
from udfs.alert.flink.shelf import KeyedShelf

LATE_AND_LONG = rule_of("max_over_time(load[1m]) > 5")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART", 16)


def value_of(job: FakeFlink) -> Parted:
    return Parted(Value(job, "window"), Map(job, "window_parts"))


def shelf_of(job: FakeFlink) -> KeyedShelf:
    return KeyedShelf(Map(job, "past"), Value(job, "past_index"), Value(job, "late"))


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 32, 33, 100])
@pytest.mark.parametrize("later", [0, 5, 16, 32, 40])
def test_a_value_is_what_it_was_set_to_last(size: int, later: int) -> None:
    job = FakeFlink()
    for data in (bytes(range(size)), bytes(range(100, 100 + later))):
        value_of(job).value()
        value = value_of(job)
        value.value()
        value.update(data)
        assert value_of(job).value() == data
        held = job.state[job.key]
        assert sum(map(len, [held["window"], *held.get("window_parts", {}).values()])) == len(data)
        assert all(len(part) <= 16 for part in held.get("window_parts", {}).values())
    value_of(job).clear()
    assert job.stored == {}


@pytest.mark.usefixtures("small")
def test_a_value_from_before_there_were_parts_is_read() -> None:
    job = FakeFlink()
    job.state[job.key]["window"] = bytes(100)
    value = value_of(job)
    assert value.value() == bytes(100)
    value.update(b"x" * 40)
    assert value_of(job).value() == b"x" * 40


@pytest.mark.usefixtures("small")
def test_the_past_is_in_parts_and_each_is_forgotten() -> None:
    job = FakeFlink()
    for tick, size in ((10_000, 40), (20_000, 5), (30_000, 32)):
        shelf_of(job).put(tick, bytes([tick // 10_000]) * size)
    assert max(map(len, job.state[job.key]["past"].values())) == 16
    shelf_of(job).forget(10_000)
    assert shelf_of(job).ticks() == [20_000, 30_000]
    assert dict(shelf_of(job).past()) == {20_000: b"\2" * 5, 30_000: b"\3" * 32}
    for tick in (20_000, 30_000):
        shelf_of(job).forget(tick)
    assert job.stored == {}


def test_the_past_from_before_there_was_an_index_goes_on() -> None:
    job = FakeFlink()
    job.state[job.key]["past"] = {10_000: b"a", 20_000: b"b"}
    shelf_of(job).forget(10_000)
    shelf_of(job).put(30_000, b"c")
    assert dict(shelf_of(job).past()) == {20_000: b"b", 30_000: b"c"}


@pytest.mark.parametrize("disturb", [FakeFlink.idle, FakeFlink.restart])
def test_a_rule_judges_in_parts_as_it_does_in_one(
    disturb: Callable[[FakeFlink], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = play(LATE_AND_LONG, LATE_ROW, LATE)
    assert whole.events and any(one["late"] for one in whole.events)
    monkeypatch.setattr(parts, "PART", 64)
    seen: list[int] = []

    def look(job: FakeFlink) -> None:
        seen.append(sum(len(state.get(name, ())) for state in job.stored.values() for name in ("window_parts", "past")))
        disturb(job)

    cut = play(LATE_AND_LONG, LATE_ROW, LATE, look)
    assert max(seen) > 10
    assert cut.events == whole.events
    cut.advance(T0 + 7_200_000)
    assert cut.stored == {}
