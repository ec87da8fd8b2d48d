"""The last midnight and nearly two hours in time for a stack that has seen nothing yet: event time begins with them.

Afterwards event time is at now, and whatever is older is late; so this is sent before anything else.
"""

import time

import numpy as np
from kafka import KafkaConsumer, KafkaProducer

from schemas import topics
from schemas.batch import Batch, Series, encode_series_set
from schemas.ids import series_id
from tests.integration.oracle import Sent

TENANT = "history"
SPAN_MS = 110 * 60_000
DAY_MS = 86_400_000
TOLERANCE_S = 26 * 3600  # of the stack's gate
HOSTS = 12
STEP_MS = 20_000

SERIES = [Series("requests_total", (("host", f"h{host}"),)) for host in range(HOSTS)]


def batch(
    stamps: np.ndarray[tuple[int], np.dtype[np.int64]], values: np.ndarray[tuple[int, int], np.dtype[np.float64]]
) -> bytes:
    """Return the record of the tenant's source."""
    return Batch(TENANT, "history-source", int(stamps[-1]), encode_series_set(SERIES), stamps, values).encode()


def ids() -> list[int]:
    """Return the series' ids."""
    return [series_id(TENANT, one.name, one.labels) for one in SERIES]


def admitted(kafka: str) -> None:
    """Wait until the gate knows the series set: what comes before it asks the owner, and would be overtaken."""
    assert any(_is_any(kafka) for _ in range(12)), "nothing has passed the gate"
    time.sleep(3.0)  # the verdict is on its way back


def _is_any(kafka: str) -> bool:
    """Look for a record of metrics.valid, for some seconds."""
    consumer = KafkaConsumer(topics.VALID, bootstrap_servers=kafka, auto_offset_reset="earliest")
    try:
        # In short polls, and not by one consumer: kafka-python may miss an answer, and then waits for good.
        return any(consumer.poll(timeout_ms=1000) for _ in range(10))
    finally:
        consumer.close()


def feed(kafka: str) -> Sent:
    """Send a batch a minute around the last midnight and up to now; return what was sent."""
    now = time.time_ns() // 1_000_000
    midnight = now - now % DAY_MS
    ended = np.arange(midnight - 15 * 60_000, min(midnight + 2 * 60_000, now), STEP_MS)
    stamps = np.union1d(ended, np.arange(now - now % STEP_MS - SPAN_MS, now, STEP_MS))
    grown = np.cumsum(np.random.default_rng(4).integers(0, 9, (len(stamps), HOSTS)), axis=0).astype(float)
    values = np.where(grown > 300, grown - 300, grown)  # a reset each
    producer = KafkaProducer(bootstrap_servers=kafka, acks="all")
    for first in range(0, len(stamps), 3):
        record = batch(stamps[first : first + 3], values[first : first + 3])
        producer.send(topics.RAW, value=record, key=b"history-source").get(timeout=60)
        if first == 0:
            admitted(kafka)
    producer.close()
    return {
        (series, int(stamp)): float(values[row, column])
        for row, stamp in enumerate(stamps)
        for column, series in enumerate(ids())
    }
