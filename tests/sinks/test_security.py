"""Into a broker that asks who comes: every client of ours gets in, and who does not is told in one line."""

import gc
import logging
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.errors import KafkaError
from pydantic import ValidationError

from schemas.setting import faults
from sinks.client import opened
from sinks.control import publish, stored
from sinks.producer import open_producer
from sinks.security import KafkaSecurity
from sinks.topics import main
from tests.sinks.conftest import PASSWORD, USER, Broker

SASL = {"security_protocol": "SASL_PLAINTEXT", "username": USER}


def setenv(monkeypatch: pytest.MonkeyPatch, settings: Mapping[str, object]) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(f"TIDEGAUGE_KAFKA_{name.upper()}", str(value))


@pytest.mark.stack
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_clients_say_who_they_are(secured: Broker, monkeypatch: pytest.MonkeyPatch, mechanism: str) -> None:
    setenv(monkeypatch, SASL | {"sasl_mechanism": mechanism, "password": PASSWORD})
    assert main([secured.sasl]) == 0
    publish(secured.sasl, "control.rules", {mechanism: b"one"})
    assert stored(secured.sasl, "control.rules")[mechanism] == b"one"
    producer = open_producer(secured.sasl)
    producer.send("metrics.raw", b"x").get(timeout=60)
    producer.close()


@pytest.mark.stack
@pytest.mark.filterwarnings("ignore:unclosed <ssl:ResourceWarning")  # left to the collector
def test_clients_speak_tls_to_a_broker_they_know(
    secured: Broker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "kafka")  # what is logged holds errors, and they what they came from
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    setenv(monkeypatch, SASL | {"security_protocol": "SASL_SSL", "password_file": file})
    with pytest.raises(KafkaError, match="certificate verify failed") as raised:
        opened(KafkaAdminClient, secured.tls, bootstrap_timeout_ms=3_000)
    del raised
    gc.collect()
    setenv(monkeypatch, {"ca_file": secured.certificate})
    assert main([secured.tls]) == 0
    publish(secured.tls, "control.rules", {"tls": b"two"})
    assert stored(secured.tls, "control.rules")["tls"] == b"two"
    gc.collect()


@pytest.mark.stack
@pytest.mark.parametrize("kind", [KafkaAdminClient, KafkaConsumer, KafkaProducer])
def test_who_does_not_get_in_is_refused_at_once(secured: Broker, monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
    setenv(monkeypatch, SASL | {"password": "other"})
    with pytest.raises(KafkaError, match="uthentication failed"):
        client = opened(kind, secured.sasl, bootstrap_timeout_ms=60_000)
        client.close()


@pytest.mark.stack
def test_a_wrong_password_is_one_line(
    secured: Broker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    setenv(monkeypatch, SASL | {"password": "not-this-one"})
    assert main([secured.sasl]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"TG-kafka: {secured.sasl} (TIDEGAUGE_KAFKA): ")
    assert "TIDEGAUGE_KAFKA_USERNAME" in line and "uthentication failed" in line
    assert "not-this-one" not in line


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"security_protocol": "SASL"}, "TIDEGAUGE_KAFKA_SECURITY_PROTOCOL='SASL'"),
        ({"sasl_mechanism": "GSSAPI"}, "TIDEGAUGE_KAFKA_SASL_MECHANISM='GSSAPI'"),
        ({"security_protocol": "SASL_SSL", "password": "secret"}, "TIDEGAUGE_KAFKA_USERNAME=''"),
        (SASL, "TIDEGAUGE_KAFKA_PASSWORD"),
        (SASL | {"password_file": "/none"}, "TIDEGAUGE_KAFKA_PASSWORD_FILE='/none'"),
        (SASL | {"password_file": "/etc/passwd", "password": "secret"}, "TIDEGAUGE_KAFKA_PASSWORD_FILE='/etc/passwd'"),
        ({"security_protocol": "SSL", "ca_file": "/none"}, "TIDEGAUGE_KAFKA_CA_FILE='/none'"),
    ],
)
def test_settings_that_cannot_be(monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], told: str) -> None:
    setenv(monkeypatch, settings)
    with pytest.raises(ValidationError) as raised:
        KafkaSecurity()
    (line,) = faults(raised.value)
    assert line.startswith(f"TG-settings: {told}")
    assert "secret" not in line + str(raised.value)
    # Whoever opens a client tells it as all that is wrong with a broker.
    with pytest.raises(KafkaError) as refused:
        opened(KafkaAdminClient, "127.0.0.1:1")
    assert line in str(refused.value) and "secret" not in str(refused.value)


def test_nothing_is_said_where_nothing_is_set() -> None:
    assert KafkaSecurity().client() == {"security_protocol": "PLAINTEXT"}


def test_the_password_is_not_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("secret-2\r\n")
    setenv(monkeypatch, SASL | {"password": "secret-1"})
    own = KafkaSecurity()
    assert (own.password(), "secret" in repr(own)) == ("secret-1", False)
    shown = subprocess.run([sys.executable, "-m", "agent", "--settings"], capture_output=True, text=True, check=True)
    assert "TIDEGAUGE_KAFKA_PASSWORD=**********" in shown.stdout and "secret" not in shown.stdout
    monkeypatch.delenv("TIDEGAUGE_KAFKA_PASSWORD")
    setenv(monkeypatch, {"password_file": tmp_path / "file"})
    assert KafkaSecurity().password() == "secret-2"
