"""Keys by which a record gets to a chosen partition of a topic."""

from itertools import count

from kafka import KafkaConsumer
from kafka.partitioner.default import murmur2

from sinks.client import opened


def covering(partitions: int, prefix: str) -> list[bytes]:
    """Return a key for each of so many partitions, 0 first; Kafka's default partitioner takes it there."""
    found: dict[int, bytes] = {}
    numbers = count()
    while len(found) < partitions:
        key = f"{prefix}{next(numbers)}".encode()
        found.setdefault((murmur2(key) & 0x7FFFFFFF) % partitions, key)
    return [found[place] for place in range(partitions)]


def keys(bootstrap: str, topic: str, prefix: str) -> list[bytes]:
    """Return such keys for the partitions that the topic has; raises kafka.errors.KafkaError."""
    consumer = opened(KafkaConsumer, bootstrap, enable_auto_commit=False, group_id=None)
    try:
        return covering(len(consumer.partitions_for_topic(topic) or ()), prefix)
    finally:
        consumer.close()
