"""The parts that have an official image, as containers: what the local stack proves of its own parts, of theirs."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from testcontainers.community.kafka import KafkaContainer
from testcontainers.core.container import DockerContainer
from testcontainers.core.waiting_utils import wait_for_logs

from schemas.frame import Frame
from schemas.topics import TOPICS
from sinks import ddl, rows
from sinks import topics as kafka_topics
from sinks.clickhouse import Clickhouse
from sinks.refusal import ClickhouseError
from udfs.rollup.rows import rollup

READER = Path(__file__).resolve().parents[2] / "flink-conf" / "clickhouse" / "reader.xml"
COMPOSE = yaml.safe_load((Path(__file__).resolve().parents[2] / "docker-compose.yml").read_text())


def engine_missing() -> str:
    """Return why no container can be started, or nothing."""
    if os.environ.get("DOCKER_HOST") or Path("/var/run/docker.sock").exists():
        return ""
    return "no container engine: neither DOCKER_HOST nor /var/run/docker.sock is there"


MISSING = engine_missing()
pytestmark = [pytest.mark.docker, pytest.mark.skipif(bool(MISSING), reason=MISSING)]


def image(service: str) -> str:
    name: str = COMPOSE["services"][service]["image"]
    return name


@pytest.fixture(scope="module")
def clickhouse() -> Iterator[Clickhouse]:
    server = DockerContainer(image("clickhouse")).with_exposed_ports(8123).with_env("CLICKHOUSE_SKIP_USER_SETUP", "1")
    server.with_volume_mapping(str(READER), "/etc/clickhouse-server/users.d/reader.xml", "ro")
    with server:
        wait_for_logs(server, "Ready for connections|Logging errors to", timeout=120)
        endpoint = f"{server.get_container_host_ip()}:{server.get_exposed_port(8123)}"
        ddl.apply(endpoint, "default", "", "tidegauge")
        yield Clickhouse(endpoint)


def test_a_window_is_stored_and_its_digest_merges(clickhouse: Clickhouse) -> None:
    values = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    frame = Frame(
        "acme", 0, ["m"], np.zeros(2, np.uint32), np.array([1, 2], dtype=np.uint64), np.array([0, 1, 2]) * 1000, values
    )
    clickhouse.insert("samples", rows.samples([frame]))
    made = rollup([frame], 0)
    assert made is not None
    clickhouse.insert("rollup_1m", rows.rollup(made))
    answer = clickhouse.query(
        "SELECT sum(count) AS n, quantilesTDigestMerge(0.0, 1.0)(tdigest) AS ends FROM rollup_1m FINAL"
    ).to_pylist()
    assert answer == [{"n": 6, "ends": [1.0, 30.0]}]


def test_the_broker_takes_our_topics_and_stamps_raw_records() -> None:
    with KafkaContainer(image("kafka")).with_kraft() as broker:
        bootstrap = broker.get_bootstrap_server()
        kafka_topics.create(bootstrap)
        admin = KafkaAdminClient(bootstrap_servers=bootstrap)
        assert {topic.name for topic in TOPICS} <= set(admin.list_topics())
        admin.close()
        producer = KafkaProducer(bootstrap_servers=bootstrap)
        producer.send("metrics.raw", value=b"x", timestamp_ms=1).get(timeout=30)
        producer.close()
        consumer: Any = KafkaConsumer(
            "metrics.raw", bootstrap_servers=bootstrap, auto_offset_reset="earliest", consumer_timeout_ms=20_000
        )
        assert next(consumer).timestamp > 1
        consumer.close()


def test_the_reader_only_reads_and_its_deadline_holds(clickhouse: Clickhouse) -> None:
    always = frozenset({"max_execution_time"})
    reader = Clickhouse(clickhouse.endpoint, "reader", "", "tidegauge", attempts=1, always=always)
    assert reader.query("SELECT count() AS n FROM samples WHERE tenant = ''").to_pylist() == [{"n": 0}]
    for text in ("DROP TABLE samples", "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')"):
        with pytest.raises(ClickhouseError):
            reader.command(text)
    told = reader.query("SELECT getSetting('max_execution_time') AS s", {}, {"max_execution_time": "7"}).to_pylist()
    assert float(told[0]["s"]) == 7
    reader.close()
