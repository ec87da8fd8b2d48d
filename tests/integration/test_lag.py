"""How far a consumer group is, as `tidegauge lag` tells of a real broker."""

import json
import os
import subprocess
import sys
import uuid
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.structs import OffsetAndMetadata

from tests.conftest import ROOT
from tests.integration.pipeline import Pipeline, now_ms

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]


def command(pipeline: Pipeline, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command, which finds the stack by its home."""
    return subprocess.run(
        [sys.executable, "-m", "stack.cli", "lag", "--json", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "TIDEGAUGE_HOME": str(pipeline.stack.home)},
        cwd=ROOT,
        timeout=60,
        check=False,
    )


def lag(pipeline: Pipeline, *arguments: str) -> tuple[int, Any]:
    """Return (exit code, JSON) of the command."""
    done = command(pipeline, *arguments)
    return done.returncode, json.loads(done.stdout)


def test_what_kafka_deleted_unread_is_told(pipeline: Pipeline) -> None:
    name, kafka = f"lag-{uuid.uuid4().hex[:8]}", pipeline.stack.endpoints["kafka"]
    stamp = now_ms() - 60_000  # what is older than the topic's retention goes at any moment
    one, other = TopicPartition(name, 0), TopicPartition(name, 1)
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    admin.create_topics({name: {"num_partitions": 2, "replication_factor": 1}}, wait_for_metadata=True)
    producer = KafkaProducer(bootstrap_servers=kafka, acks="all")
    for number in range(10):
        producer.send(name, value=b"x", partition=0, timestamp_ms=stamp + number)
    producer.send(name, value=b"x", partition=1, timestamp_ms=stamp)
    producer.close()
    for group, place in (("a", 3), ("b", 8)):
        reader = KafkaConsumer(bootstrap_servers=kafka, group_id=f"{name}-{group}", enable_auto_commit=False)
        reader.commit({one: OffsetAndMetadata(place, "", -1), other: OffsetAndMetadata(1, "", -1)})
        reader.close()
    try:
        assert lag(pipeline, "--groups", name) == (
            0,
            [
                {"group": f"{name}-a", "topic": name, "behind": 7, "lost": 0, "since": stamp + 3},
                {"group": f"{name}-b", "topic": name, "behind": 2, "lost": 0, "since": stamp + 8},
            ],
        )
        admin.delete_records({one: 5})
        assert lag(pipeline, "--groups", name) == (
            2,
            [
                {"group": f"{name}-a", "topic": name, "behind": 5, "lost": 2, "since": stamp + 5},
                {"group": f"{name}-b", "topic": name, "behind": 2, "lost": 0, "since": stamp + 8},
            ],
        )
    finally:
        admin.delete_topics([name])
        admin.close()


def test_each_job_tells_where_it_is(pipeline: Pipeline) -> None:
    code, found = lag(pipeline)
    assert code == 0
    assert {(one["group"], one["topic"]) for one in found} >= {
        ("tidegauge-gate", "metrics.raw"),
        ("tidegauge-store", "metrics.valid"),
        ("tidegauge-rollup", "metrics.valid"),
        ("tidegauge-alert", "metrics.valid"),
    }


def test_the_environment_wins_over_the_home(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGAUGE_KAFKA", "127.0.0.1:1")
    done = command(pipeline)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("TG-kafka: 127.0.0.1:1 (TIDEGAUGE_KAFKA): ")
