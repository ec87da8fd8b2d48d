"""How far consumer groups are in their topics, and what Kafka deleted before they came to it."""

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import OffsetSpec

from sinks.client import opened


@dataclass(frozen=True, slots=True)
class Place:
    """A group in one partition, in offsets.

    committed: the next record that it reads, as it last said; Flink's sources say so at each checkpoint. oldest: the
    first that the broker still has; newest: the next that a producer writes.
    """

    group: str
    topic: str
    partition: int
    committed: int
    oldest: int
    newest: int

    @property
    def behind(self) -> int:
        """Records that wait for the group."""
        return max(0, self.newest - max(self.committed, self.oldest))

    @property
    def lost(self) -> int:
        """Records that are gone without the group having read them; 0 again once it has gone on behind them."""
        return max(0, self.oldest - self.committed)


class Groups:
    """The groups of a Kafka cluster whose names begin with a prefix; to be closed. Raises kafka.errors.KafkaError."""

    def __init__(self, bootstrap: str, prefix: str, timeout_s: float = 5.0) -> None:
        self._prefix = prefix
        self._admin: Any = opened(
            KafkaAdminClient,
            bootstrap,
            client_id="tidegauge-groups",
            request_timeout_ms=int(timeout_s * 1000),
            bootstrap_timeout_ms=int(timeout_s * 1000),
        )

    def close(self) -> None:
        """End the connection."""
        self._admin.close()

    def places(self) -> list[Place]:
        """Return where each group is in each partition that it has told of, in order."""
        named = sorted(one["group_id"] for one in self._admin.list_groups() if one["group_id"].startswith(self._prefix))
        committed = {
            (group, partition): told.offset
            for group, told_of in (self._admin.list_group_offsets(named) if named else {}).items()
            for partition, told in told_of.items()
            if told.offset >= 0
        }
        partitions = {partition for _, partition in committed}
        oldest = self._offsets(partitions, OffsetSpec.EARLIEST)
        newest = self._offsets(partitions, OffsetSpec.LATEST)
        return sorted(
            (
                Place(group, one.topic, one.partition, offset, oldest[one], newest[one])
                for (group, one), offset in committed.items()
                if one in oldest and one in newest
            ),
            key=lambda place: (place.group, place.topic, place.partition),
        )

    def _offsets(self, partitions: Collection[TopicPartition], which: Any) -> dict[TopicPartition, int]:
        found = self._admin.list_partition_offsets(dict.fromkeys(partitions, which)) if partitions else {}
        return {partition: one.offset for partition, one in found.items()}


def waiting_since(bootstrap: str, places: Iterable[Place], timeout_s: float = 5.0) -> dict[Place, int]:
    """Return the Kafka timestamp, ms, of the first record that waits in each place that has one, as far as it comes.

    Of metrics.raw that is the broker's stamp, elsewhere the event time of what the record holds. places: in order of
    their groups. timeout_s: of each group.
    """
    found: dict[Place, int] = {}
    for _, ours in groupby(places, key=lambda place: place.group):
        waiting = {TopicPartition(one.topic, one.partition): one for one in ours if one.behind}
        if waiting:
            found |= _stamps(bootstrap, waiting, timeout_s)
    return found


def _stamps(bootstrap: str, waiting: Mapping[TopicPartition, Place], timeout_s: float) -> dict[Place, int]:
    consumer = opened(
        KafkaConsumer,
        bootstrap,
        enable_auto_commit=False,
        max_partition_fetch_bytes=64 << 10,
    )
    found: dict[Place, int] = {}
    try:
        consumer.assign(list(waiting))
        for partition, place in waiting.items():
            consumer.seek(partition, max(place.committed, place.oldest))
        until = time.monotonic() + timeout_s
        while len(found) < len(waiting) and time.monotonic() < until:
            for partition, records in consumer.poll(timeout_ms=200).items():
                found[waiting[partition]] = records[0].timestamp
                consumer.pause(partition)
    finally:
        consumer.close()
    return found
