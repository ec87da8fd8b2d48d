"""A reader of a control topic that never gets its answer ends, and does not hold a job's start up for good."""

from typing import Any

import pytest
from kafka import TopicPartition
from kafka.errors import KafkaTimeoutError

from sinks import control


class Deaf:
    """A consumer whose partition has five records, of which it gets `heard`, one a poll."""

    def __init__(self, heard: int) -> None:
        self.heard, self.at, self.closed = heard, 0, False

    def partitions_for_topic(self, _: str) -> set[int]:
        return {0}

    def assign(self, _: list[TopicPartition]) -> None:
        pass

    def seek(self, _: TopicPartition, offset: int) -> None:
        self.at = offset

    def beginning_offsets(self, parts: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(parts, 0)

    def end_offsets(self, parts: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(parts, 5)

    def position(self, _: TopicPartition) -> int:
        return self.at

    def poll(self, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        if self.at == self.heard:
            return {}
        self.at += 1
        return {TopicPartition("t", 0): [self.at]}

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("heard", [0, 3, 5])
def test_a_reader_that_hears_nothing_more_before_the_end_says_so(heard: int, monkeypatch: pytest.MonkeyPatch) -> None:
    consumer = Deaf(heard)
    monkeypatch.setattr(control, "opened", lambda *_, **__: consumer)
    read: list[Any] = []
    try:
        read += control._records("kafka:9092", "t")
    except KafkaTimeoutError as error:
        assert heard < 5 and "nothing came of t for 60 s" in str(error)
    else:
        assert heard == 5 and read == [1, 2, 3, 4, 5]
    assert consumer.closed
