"""Keys that reach every partition, as kafka-python's producer sends them."""

import pytest
from kafka.partitioner.default import DefaultPartitioner

from sinks.partitions import covering


class Cluster:
    """What the partitioner asks of a client's metadata."""

    def __init__(self, count: int) -> None:
        self._count = count

    def topics(self) -> set[str]:
        return {"t"}

    def partitions_for_topic(self, topic: str) -> set[int]:
        return set(range(self._count))

    available_partitions_for_topic = partitions_for_topic


@pytest.mark.parametrize("count", [0, 1, 2, 8, 48])
def test_each_partition_has_a_key(count: int) -> None:
    sent = [DefaultPartitioner().partition("t", key, key, b"", b"", Cluster(count)) for key in covering(count, "beat-")]
    assert sent == list(range(count))
