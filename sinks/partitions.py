"""Keys by which a record gets to a chosen partition of a topic, or subtask of a job."""

from collections.abc import Callable
from itertools import count

from kafka import KafkaConsumer
from kafka.partitioner.default import murmur2

from sinks.client import opened


def reaching(places: int, prefix: str, place_of: Callable[[str], int]) -> list[str]:
    """Return a key for each of so many places, 0 first; place_of: where a key gets to."""
    found: dict[int, str] = {}
    numbers = count()
    while len(found) < places:
        key = f"{prefix}{next(numbers)}"
        found.setdefault(place_of(key), key)
    return [found[place] for place in range(places)]


def covering(partitions: int, prefix: str) -> list[bytes]:
    """Return a key for each of so many partitions, 0 first; Kafka's default partitioner takes it there."""
    found = reaching(partitions, prefix, lambda key: (murmur2(key.encode()) & 0x7FFFFFFF) % partitions)
    return [key.encode() for key in found]


def keys(bootstrap: str, topic: str, prefix: str) -> list[bytes]:
    """Return such keys for the partitions that the topic has; raises kafka.errors.KafkaError."""
    consumer = opened(KafkaConsumer, bootstrap, enable_auto_commit=False, group_id=None)
    try:
        return covering(len(consumer.partitions_for_topic(topic) or ()), prefix)
    finally:
        consumer.close()
