"""The clock's beats: one a second for each partition that metrics.raw has by now."""

from collections.abc import Iterator, Sequence
from types import SimpleNamespace

import pytest
from kafka.errors import KafkaConnectionError

from schemas.batch import Batch
from udfs.alert.flink.beat import ASKED_S, BeatFunction
from udfs.alert.recording import partition_of

T0 = 1_700_000_000


class Topic:
    """A topic of so many partitions, whose broker may be away; asked: how often it was asked for them."""

    def __init__(self, partitions: int) -> None:
        self.partitions, self.away, self.asked = partitions, False, 0

    def keys(self) -> Sequence[bytes]:
        self.asked += 1
        if self.away:
            raise KafkaConnectionError("nobody there")
        return [b"%d" % one for one in range(self.partitions)]


class Clock:
    """Flink's rows, twenty a second, and the time at which they come."""

    def __init__(self, topic: Topic) -> None:
        self.ms, self._beat = T0 * 1000, BeatFunction("ops", topic.keys, lambda: self.ms * 1_000_000, lambda ask: ask())
        self._beat.open(SimpleNamespace(get_job_parameter=lambda _name, default: default))

    def run(self, seconds: int) -> Iterator[list[tuple[int, int] | None]]:
        """Yield the places that each second's beats name; fail if one is not told as its second begins."""
        for _ in range(seconds):
            told = []
            for row in range(20):
                made = list(self._beat.flat_map(SimpleNamespace()))
                assert row == 0 or not made
                told += [Batch.decode(one[2]) for one in made]
                self.ms += 50
            assert {one.sent_at for one in told} == {self.ms - 1000}
            yield [partition_of(one.source) for one in told]


def test_each_second_has_a_beat_for_each_partition() -> None:
    assert list(Clock(Topic(2)).run(3)) == [[(0, 2), (1, 2)]] * 3


def test_partitions_more_get_beats_within_a_minute() -> None:
    """By the old keys beats go elsewhere in a topic that has grown, and say that what nobody has read was read."""
    topic = Topic(1)
    clock = Clock(topic)
    assert list(clock.run(5)) == [[(0, 1)]] * 5
    topic.partitions = 2
    assert list(clock.run(ASKED_S + 5))[-5:] == [[(0, 2), (1, 2)]] * 5
    assert ASKED_S <= 60


def test_it_is_asked_now_and_then_only() -> None:
    topic = Topic(1)
    assert len(list(Clock(topic).run(10 * ASKED_S))) == 10 * ASKED_S
    assert 9 <= topic.asked - 1 <= 11


@pytest.mark.parametrize("partitions", [0, 3])
def test_without_an_answer_beats_go_on_as_before(partitions: int) -> None:
    topic = Topic(3)
    clock = Clock(topic)
    assert len(list(clock.run(1))) == 1
    topic.partitions, topic.away = partitions, partitions > 0
    assert list(clock.run(2 * ASKED_S)) == [[(0, 3), (1, 3), (2, 3)]] * (2 * ASKED_S)
    assert topic.asked > 2
