"""Compacted topics: what is in force, and how it changes. The newest record of a key counts, a null deletes it."""

from collections.abc import Iterator, Mapping
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaTimeoutError

from sinks.client import opened

TIMEOUT_S = 10.0
# Polls of half a second without a record, before the end: kafka-python may miss an answer, and waits for good then.
SILENT = 120


Change = tuple[str, bytes | None, int]
"""Key, value, the broker's stamp in ms since 1970 UTC."""


def stored(bootstrap: str, topic: str) -> dict[str, bytes]:
    """Return the newest value of every key; raises kafka.errors.KafkaError."""
    found: dict[str, bytes] = {}
    for key, value, _ in history(bootstrap, topic):
        found.pop(key, None)
        if value is not None:
            found[key] = value
    return found


def history(bootstrap: str, topic: str) -> list[Change]:
    """Return all records that compaction has left so far; raises kafka.errors.KafkaError."""
    return [
        ((record.key or b"").decode("utf-8", "replace"), record.value, record.timestamp)
        for record in _records(bootstrap, topic)
    ]


def newest(bootstrap: str, topic: str, most: int) -> Iterator[bytes]:
    """Yield the values of the newest records, oldest first, at most so many of each partition; raises KafkaError."""
    return (record.value for record in _records(bootstrap, topic, most) if record.value is not None)


def _records(bootstrap: str, topic: str, most: int | None = None) -> Iterator[Any]:
    """Yield what the topic holds now, by partition in its order; most: only the newest so many of each partition."""
    consumer = opened(KafkaConsumer, bootstrap, enable_auto_commit=False, group_id=None)
    try:
        parts = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
        consumer.assign(parts)
        firsts, ends = consumer.beginning_offsets(parts), consumer.end_offsets(parts)
        for part in parts:
            consumer.seek(part, firsts[part] if most is None else max(firsts[part], ends[part] - most))
        silent = 0
        while any(consumer.position(part) < ends[part] for part in parts):
            if silent == SILENT:
                raise KafkaTimeoutError(f"nothing came of {topic} for {SILENT // 2} s, though there is more")
            found = consumer.poll(timeout_ms=500)
            silent = 0 if found else silent + 1
            for records in found.values():
                yield from records
    finally:
        consumer.close()


def publish(bootstrap: str, topic: str, records: Mapping[str, bytes | None]) -> None:
    """Send records and wait until the broker has them; raises kafka.errors.KafkaError."""
    producer = opened(KafkaProducer, bootstrap, acks="all")
    try:
        sent = [producer.send(topic, key=key.encode(), value=value) for key, value in records.items()]
        for future in sent:
            future.get(timeout=TIMEOUT_S)
    finally:
        producer.close(timeout=TIMEOUT_S)
