"""The Kafka producer of everything that sends batches: agent and loader differ only in how long they wait."""

from typing import Any

from schemas.codec import codec


def open_producer(bootstrap: str, **more: int | bool) -> Any:
    """Return a producer for records that matter: acks=all, lz4, one request in flight, so that order is kept.

    Idempotence by producer id is off: a sample's identity is (tenant, series, timestamp), a repeat changes nothing,
    and an expired batch cannot leave a gap in sequence numbers behind. more: time-outs and
    backoffs by kafka-python's names, ms.
    """
    from kafka import KafkaProducer

    from sinks.client import opened

    return opened(
        KafkaProducer,
        bootstrap,
        acks="all",
        enable_idempotence=False,
        compression_type="lz4",
        linger_ms=20,
        batch_size=1 << 20,
        max_request_size=codec("metric_batch").limit,
        max_in_flight_requests_per_connection=1,
        bootstrap_timeout_ms=5_000,
        allow_auto_create_topics=False,
        **more,
    )
