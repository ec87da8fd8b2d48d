"""Process mode, for clusters that are shared: the gate's output equals thread mode's and the pure Gate's."""

import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer

from jobs.settings import JobSettings
from schemas import topics
from schemas.batch import BatchBuilder, Series
from stack.flink import TASKMANAGERS
from tests.integration.beside import Beside, partitions
from udfs.gate.gate import Gate, Passed, Refused
from udfs.mode import code_version

pytestmark = [pytest.mark.stack, pytest.mark.timeout(700)]

Record = tuple[str, bytes, bytes, int]
"""Topic, key, value, timestamp."""


def batches(tenant: str, now: int) -> Iterator[bytes]:
    """Yield records of which some pass whole, some in part and one not at all."""
    builder = BatchBuilder(tenant, "source")
    for step in range(10):
        many = [(Series("load", (("host", f"h{host}"),)), step + host / 4) for host in range(50)]
        crowded = Series("crowded", tuple((f"l{n:02}", "x") for n in range(30)))
        builder.add_scrape(now + step, [*many, (crowded, 1.0)])
        yield builder.build(now).encode()
    builder.add_scrape(now + 3_600_000, [(Series("load", (("host", "h0"),)), 1.0)])
    yield builder.build(now).encode()


def judged(records: list[tuple[bytes, tuple[int, int, int]]]) -> Counter[Record]:
    """Return what the pure Gate makes of records and (partition, offset, stamp) of each."""
    settings = JobSettings()
    gate = Gate.open(settings.shards, settings.gate_limits())
    found: Counter[Record] = Counter()
    for record, (partition, offset, stamp) in records:
        for one in gate.judge(record, stamp):
            if isinstance(one, Passed):
                found[topics.VALID, one.key.encode(), one.batch.encode(), one.event_time] += 1
            elif isinstance(one, Refused):
                value = one.refusal.encode(one.tenant, one.source, stamp, partition, offset)
                found[topics.REJECTED, one.tenant.encode(), value, stamp] += 1
    return found


class Output:
    """What comes to the gate's two topics for one tenant from now on."""

    def __init__(self, kafka: str, tenant: str) -> None:
        self._tenant = tenant.encode()
        self.consumer = KafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False)
        self.consumer.assign(partitions(self.consumer, topics.VALID, topics.REJECTED))
        self.forget()

    def forget(self) -> None:
        """Begin anew at the end of the topics."""
        self.found: Counter[Record] = Counter()
        self.consumer.seek_to_end()
        for one in self.consumer.assignment():
            self.consumer.position(one)

    def read(self, wanted: Counter[Record], seconds: float) -> None:
        """Read until the wanted records are there; fail if they are not."""
        end = time.monotonic() + seconds
        while wanted - self.found and time.monotonic() < end:
            for messages in self.consumer.poll(timeout_ms=500).values():
                for one in messages:
                    if one.key.partition(b"/")[0] == self._tenant:
                        self.found[one.topic, one.key, one.value, one.timestamp] += 1
        assert not wanted - self.found, f"missing {len(wanted - self.found)}, there {len(self.found)}"


@pytest.fixture
def beside(stack: Any) -> Iterator[Beside]:
    """Yield a gate that would begin at the end of metrics.raw; it is gone afterwards."""
    beside = Beside(stack, f"process-{uuid.uuid4().hex[:8]}", "gate")
    beside.begin(topics.RAW, lambda _, end: end)
    yield beside
    beside.leave()


def announced(home: Path) -> int:
    """Return how often a gate of this code said that it runs in process mode."""
    word = f"tidegauge operator=gate mode=process code={code_version()}"
    return sum((home / "log" / f"{name}.log").read_text().count(word) for name in TASKMANAGERS)


def test_the_gate_in_process_mode_answers_as_in_thread_mode(stack: Any, beside: Beside, tmp_path: Path) -> None:
    tenant = f"process-{uuid.uuid4().hex[:8]}"
    kafka = stack.endpoints["kafka"]
    output = Output(kafka, tenant)
    producer = KafkaProducer(bootstrap_servers=kafka, acks="all")
    sent = []
    for record in batches(tenant, time.time_ns() // 1_000_000):
        told = producer.send(topics.RAW, value=record, key=b"source").get(timeout=60)
        sent.append((record, (told.partition, told.offset, told.timestamp)))
    producer.close()
    wanted = judged(sent)
    assert {topic for topic, *_ in wanted} == {topics.VALID, topics.REJECTED}
    output.read(wanted, 240)
    assert output.found == wanted

    output.forget()
    before = announced(stack.home)
    # Checkpoints would be retained.
    beside.submit(tmp_path, TIDEGAUGE_EXECUTION_MODE="process", TIDEGAUGE_CHECKPOINT_INTERVAL_S="3600")
    output.read(wanted, 240)
    # Both gates' owners read metrics.pending: what waits there comes from each of them.
    assert output.found.keys() == wanted.keys()
    output.consumer.close()
    assert announced(stack.home) > before
