"""What lies in a topic that it was not meant for ends no job, and what stands behind it is read."""

from collections.abc import Mapping

import numpy as np
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType

from jobs.settings import JobSettings
from schemas import topics
from schemas.batch import Batch, Series, encode_series_set
from tests.integration.failures import failures
from tests.integration.gated import account, batch
from tests.integration.pipeline import Pipeline, eventually, now_ms, tenant_of

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]

READERS = {
    topics.RAW: ("gate",),
    topics.PENDING: ("gate",),
    topics.VALID: ("store", "rollup", "alert"),
    topics.LATE: ("reroll",),
    topics.ALERTS: ("store",),
    topics.REJECTED: ("store",),
    topics.LEDGER: ("store",),
    topics.CARDINALITY: ("store",),
}
CONTROL = (topics.POLICIES, topics.VERDICTS, topics.RULES)


def strays(tenant: str) -> list[bytes | None]:
    """Return records of many kinds; the batch is whole, but no gate has seen it."""
    whole = batch(tenant, ["u0"])
    return [None, b"", b"{}", b"\xff\xfe not text", whole, whole[:-1]]


def unread(kafka: str, ends: dict[TopicPartition, int]) -> dict[str, int]:
    """Return by job how many records before `ends` it has not passed by a checkpoint."""
    left: dict[str, int] = {}
    for job in {job for jobs in READERS.values() for job in jobs}:
        group = f"{JobSettings().job_prefix}-{job}"
        asked = KafkaConsumer(bootstrap_servers=kafka, group_id=group, enable_auto_commit=False)
        mine = [part for part in ends if job in READERS[part.topic]]
        left[job] = sum(max(0, ends[part] - (asked.committed(part) or 0)) for part in mine)
        asked.close()
    return {job: count for job, count in left.items() if count}


def test_a_stray_record_ends_no_job(pipeline: Pipeline) -> None:
    tenant, kafka = tenant_of("stray"), pipeline.stack.endpoints["kafka"]
    before = failures(pipeline)
    producer = KafkaProducer(bootstrap_servers=kafka, acks="all")
    for topic in (*READERS, *CONTROL):
        for value in strays(tenant):
            for key in (b"stray", b"\xff\xfe", None):
                # What is compacted needs a key, by the broker's word; kafka-python wants one of both.
                if key is not None or (value is not None and topic not in (topics.POLICIES, topics.RULES)):
                    producer.send(topic, value=value, key=key)
    producer.close()
    asked = KafkaConsumer(bootstrap_servers=kafka)
    ends = asked.end_offsets([TopicPartition(one, at) for one in READERS for at in asked.partitions_for_topic(one)])
    asked.close()
    eventually(lambda: unread(kafka, ends) == {}, wanted=True)
    pipeline.send_record(batch(tenant, ["u1"]))
    # Those in metrics.raw are batches like any other.
    eventually(lambda: account(pipeline, tenant)["forwarded"], 4)
    stored = "SELECT uniqExact(series_id) FROM samples WHERE tenant = {tenant:String}"
    eventually(lambda: pipeline.value(stored, tenant=tenant), 2)
    assert failures(pipeline) == before


@pytest.mark.parametrize("series", [1, 8])
def test_a_batch_of_the_largest_size_passes_from_one_topic_to_the_next(pipeline: Pipeline, series: int) -> None:
    """What a job adds to a record must not make it too large for the job behind."""
    tenant = tenant_of("largest")
    known = encode_series_set([Series("large", (("n", str(number)),)) for number in range(series)])
    before, now, limit = failures(pipeline), now_ms(), JobSettings().gate_max_record_bytes
    rows = limit // (8 * series + 8)
    while len(record := of_rows(tenant, known, rows, series, now)) > limit:
        rows -= 1
    assert limit - len(record) < 200
    pipeline.send_record(record)
    eventually(lambda: account(pipeline, tenant)["forwarded"], rows * series)
    stored = "SELECT count() FROM samples FINAL WHERE tenant = {tenant:String}"
    eventually(lambda: pipeline.value(stored, tenant=tenant), rows * series)
    assert failures(pipeline) == before


def of_rows(tenant: str, known: bytes, rows: int, series: int, now: int) -> bytes:
    stamps = now - rows + np.arange(rows)
    return Batch(tenant, "s", now, known, stamps, np.ones((rows, series))).encode()


@pytest.mark.parametrize("compression", ["gzip", "lz4", "snappy", "zstd"])
def test_whatever_a_producer_compresses_with_is_read(pipeline: Pipeline, compression: str) -> None:
    """By Kafka's client inside Flink, which has to find the library. The broker compresses here: it knows all four."""
    tenant, before = tenant_of(compression), failures(pipeline)
    admin = KafkaAdminClient(bootstrap_servers=pipeline.stack.endpoints["kafka"])
    settings = next(topic.settings() for topic in topics.TOPICS if topic.name == topics.RAW)
    try:
        admin.alter_configs([of_raw({**settings, "compression.type": compression})])
        pipeline.send_record(batch(tenant, [f"u{number}" for number in range(100)]))
    finally:
        admin.alter_configs([of_raw(settings)])
        admin.close()
    stored = "SELECT count() FROM samples FINAL WHERE tenant = {tenant:String}"
    eventually(lambda: pipeline.value(stored, tenant=tenant), 100)
    assert failures(pipeline) == before


def of_raw(settings: Mapping[str, str]) -> ConfigResource:
    return ConfigResource(ConfigResourceType.TOPIC, topics.RAW, configs=dict(settings))
