"""Encoded batches to metrics.raw, as fast as kafka-python can."""

from collections.abc import Callable, Iterable

from kafka import KafkaProducer

from schemas import topics
from schemas.batch import Batch


def produce(kafka: str, batches: Iterable[Batch], progress: Callable[[int], None]) -> int:
    """Send all batches and wait until the broker has them; returns the number of bytes before compression."""
    producer = KafkaProducer(
        bootstrap_servers=kafka,
        acks="all",
        enable_idempotence=False,
        compression_type="lz4",
        linger_ms=20,
        batch_size=1 << 20,
        max_request_size=8 << 20,
        allow_auto_create_topics=False,
        metrics_enabled=False,
    )
    sent, waiting = 0, []
    try:
        for number, batch in enumerate(batches, 1):
            value = batch.encode()
            sent += len(value)
            waiting.append(producer.send(topics.RAW, value=value, key=batch.source.encode()))
            if len(waiting) >= 200:
                # Bounds memory, and tells of a failure while it is fresh.
                waiting.pop(0).get(timeout=120)
            if number % 50 == 0:
                progress(number)
        for future in waiting:
            future.get(timeout=120)
    finally:
        producer.close(timeout=10)
    return sent
