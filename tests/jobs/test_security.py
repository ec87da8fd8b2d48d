"""Jobs at a broker that asks who comes: what its clients are told, and where the password is not seen."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jobs.fetch import patience
from jobs.security import client
from jobs.settings import JobSettings
from schemas import topics
from sinks.topics import create
from stack.flink import flink_env, render
from stack.home import Home
from tests.sinks.conftest import PASSWORD, USER, Broker, secured

__all__ = ["secured"]

SHADED = "org.apache.flink.kafka.shaded.org.apache.kafka.common.security"


@pytest.mark.parametrize(
    ("settings", "properties"),
    [
        ({}, {}),
        ({"security_protocol": "SSL"}, {"security.protocol": "SSL"}),
        (
            {"security_protocol": "SSL", "ca_file": "/etc/passwd"},
            {
                "security.protocol": "SSL",
                "ssl.truststore.type": "PEM",
                "ssl.truststore.location": "/etc/passwd",
            },
        ),
        (
            {"security_protocol": "SASL_SSL", "username": "me", "password": "a\"b\\c'd;"},
            {
                "security.protocol": "SASL_SSL",
                "sasl.mechanism": "SCRAM-SHA-512",
                "sasl.jaas.config": f"{SHADED}.scram.ScramLoginModule required "
                'username="me" password="a\\"b\\\\c\'d;";',
            },
        ),
        (
            {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN", "username": "me", "password": "p"},
            {
                "security.protocol": "SASL_PLAINTEXT",
                "sasl.mechanism": "PLAIN",
                "sasl.jaas.config": f'{SHADED}.plain.PlainLoginModule required username="me" password="p";',
            },
        ),
    ],
)
def test_properties_of_flinks_clients(settings: dict[str, Any], properties: dict[str, str]) -> None:
    assert (
        client(JobSettings.model_validate({f"kafka_{name}": value for name, value in settings.items()})) == properties
    )


@pytest.mark.parametrize(
    ("topic", "parallelism", "waits"),
    [(topics.LEDGER, 2, True), (topics.LATE, 2, False), (topics.LATE, 4, True), (topics.RAW, 64, False)],
)
def test_a_fetch_waits_only_where_a_consumer_has_one_partition(topic: str, parallelism: int, waits: bool) -> None:
    # How many metrics.raw has, a setting says where the topic was made.
    assert bool(patience(topic, parallelism)) == waits


@pytest.mark.stack
def test_a_job_gets_in_and_does_not_show_the_password(secured: Broker, tmp_path: Path) -> None:
    create(secured.plaintext)
    home = Home(tmp_path)
    render(home, dict.fromkeys(("flink", "zookeeper"), 1))
    env = {
        **{key: value for key, value in os.environ.items() if not key.startswith("TIDEGAUGE_")},
        **flink_env(home),
        "TIDEGAUGE_KAFKA": secured.tls,
        "TIDEGAUGE_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "TIDEGAUGE_KAFKA_USERNAME": USER,
        "TIDEGAUGE_KAFKA_PASSWORD": PASSWORD,
        "TIDEGAUGE_KAFKA_CA_FILE": str(secured.certificate),
        "TIDEGAUGE_PARALLELISM": "1",
    }
    command = [sys.executable, "-m", "tests.jobs.through", topics.LATE]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert str(b"from flink") in done.stdout.splitlines()
    # Beside the plan, as Flink's web page has it, that is the log.
    assert "source_metrics_late" in done.stdout and " INFO " in done.stdout
    assert PASSWORD[-5:] not in done.stdout + done.stderr  # however the rest is escaped
