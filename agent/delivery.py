"""The thread that sends the outbox to Kafka."""

import logging
import random
from threading import Event, Thread
from typing import Any

from kafka.errors import KafkaError, MessageSizeTooLargeError

from agent.clock import Clock, now_ms
from agent.outbox import Outbox, Record
from sinks.producer import open_producer

log = logging.getLogger("tidegauge.agent")

_AT_ONCE = 64
_ANEW_AFTER = 2  # failures in a row
_WAITS: dict[str, int | bool] = {
    "max_block_ms": 5_000,
    # The default of 50 ms costs more CPU while the broker is away than all the metrics do.
    "reconnect_backoff_ms": 1_000,
    "reconnect_backoff_max_ms": 10_000,
    "metrics_enabled": False,
}


def backoff(failures: int, first_s: float = 0.5, most_s: float = 30.0, chance: float | None = None) -> float:
    """Return the seconds to wait after `failures` failures in a row: doubling, with half of it at random."""
    whole = min(most_s, first_s * 2.0 ** min(failures - 1, 30))
    return whole * (0.5 + 0.5 * (random.random() if chance is None else chance))


class Delivery(Thread):
    """Sends what the outbox holds until stop(), then what is left of it.

    A producer asks the brokers that it has found, never again those of the setting: where all of them were replaced it
    would fail for ever. So one that failed twice in a row is opened anew. delivery_s: until a record has failed.
    """

    def __init__(self, outbox: Outbox, bootstrap: str, topic: str, delivery_s: float = 30.0) -> None:
        super().__init__(name="delivery", daemon=True)
        self.outbox = outbox
        self.bootstrap = bootstrap
        self.topic = topic
        self.sent_batches = 0
        self.sent_bytes = 0
        self.sent_samples = 0
        self.failures = 0
        self.up: bool | None = None
        self.clock = Clock()
        self._delivery_s = delivery_s
        self._producer: Any = None
        self._stopping = Event()

    def stop(self) -> None:
        """Ask the thread to end once the outbox is empty; join() it with the time there is."""
        self._stopping.set()
        self.outbox.wake()

    def run(self) -> None:
        """Send until stopped."""
        in_a_row = 0
        while not (self._stopping.is_set() and not len(self.outbox)):
            records = self.outbox.take(_AT_ONCE, wait_s=1.0)
            if not records:
                continue
            error = self._send(records)
            if error is None:
                in_a_row = 0
                self._set_up(True, "")
                continue
            in_a_row += 1
            self.failures += 1
            self._set_up(False, f"{type(error).__name__}: {error}")
            if in_a_row % _ANEW_AFTER == 0:
                self._close()
            self._stopping.wait(backoff(in_a_row))
            if self._stopping.is_set() and in_a_row > 1:
                break
        self._close()

    def _send(self, records: list[Record]) -> KafkaError | OSError | None:
        """Send; what failed is back in the outbox. Returns the last error, if any."""
        failed: list[Record] = []
        error: KafkaError | OSError | None = None
        waiting = []
        for record in records:
            try:
                if self._producer is None:
                    self._producer = self._open()
                sent = now_ms()
                waiting.append((record, sent, self._producer.send(self.topic, value=record.value, key=record.key)))
            except MessageSizeTooLargeError as too_large:
                self._refuse(record, too_large)
            except (KafkaError, OSError) as cause:
                # Without broker, topic or descriptors every further send() would fail as well, and block as long.
                failed, error = records[records.index(record) :], cause
                break
        sent_failed = []
        for record, sent, future in waiting:
            try:
                stamp = future.get(timeout=self._delivery_s + 5).timestamp
                self.clock.taken(sent, stamp, now_ms())
                self.outbox.settle(record, sent=True)
                self.sent_batches += 1
                self.sent_bytes += len(record.value)
                self.sent_samples += record.samples
            except MessageSizeTooLargeError as too_large:
                self._refuse(record, too_large)
            except KafkaError as cause:
                sent_failed.append(record)
                error = cause
        self.outbox.give_back([*sent_failed, *failed])
        return error

    def _open(self) -> Any:
        limit = int(self._delivery_s * 1000)
        return open_producer(
            self.bootstrap, delivery_timeout_ms=limit, request_timeout_ms=min(10_000, limit * 2 // 3), **_WAITS
        )

    def _refuse(self, record: Record, error: KafkaError) -> None:
        self.outbox.settle(record, sent=False)
        log.error("TG-agent-record-size: dropped a batch of %d bytes from %s: %s", len(record.value), record.key, error)

    def _set_up(self, up: bool, detail: str) -> None:
        if self.up == up:
            return
        waiting = f"{len(self.outbox)} batches wait"
        if up:
            log.info("broker %s answers, %s", self.bootstrap, waiting)
        else:
            log.error("TG-agent-broker: %s does not take batches (%s); %s", self.bootstrap, detail, waiting)
        self.up = up

    def _close(self) -> None:
        if self._producer is None:
            return
        try:
            self._producer.close(timeout=2)
        except KafkaError as error:
            log.error("TG-agent-broker: closing the producer: %s", error)
        self._producer = None
