"""A broker by itself, with a listener for everyone and others that ask who comes."""

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ScramMechanism, UserScramCredentialUpsertion

from stack import kafka
from stack.home import Home
from stack.ports import HOST, free_ports
from tests.conftest import SHORT_LIVED

USER, PASSWORD = "pipe", "a'b\"c\\d =;e"
_PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"


@dataclass(frozen=True)
class Broker:
    """host:port of each listener, the file of its certificate, and the log."""

    plaintext: str
    sasl: str
    tls: str
    certificate: Path
    log: Path


def certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate of the loopback that signs itself; return (its file, that with the key)."""
    key, cert, both = folder / "key.pem", folder / "cert.pem", folder / "both.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert),
            *("-days", "2", "-subj", "/CN=localhost", "-addext", f"subjectAltName=IP:{HOST}"),
        ],
        check=True,
        capture_output=True,
    )
    both.write_text(key.read_text() + cert.read_text())
    return cert, both


def settings(broker: int, controller: int, sasl: int, tls: int, keys: Path) -> dict[str, str]:
    """Return what the broker has beside the local stack's settings."""
    quoted = PASSWORD.replace("\\", "\\\\").replace('"', '\\"')
    addresses = f"PLAINTEXT://{HOST}:{broker},SASL_PLAINTEXT://{HOST}:{sasl},SASL_SSL://{HOST}:{tls}"
    return {
        "listeners": f"{addresses},CONTROLLER://{HOST}:{controller}",
        "advertised.listeners": addresses,
        "listener.security.protocol.map": ",".join(
            f"{name}:{name}" for name in ("PLAINTEXT", "SASL_PLAINTEXT", "SASL_SSL")
        )
        + ",CONTROLLER:PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(keys),
        **{
            f"listener.name.{name}.{mechanism}.sasl.jaas.config": module
            for name in ("sasl_plaintext", "sasl_ssl")
            for mechanism, module in (
                ("plain", f'{_PLAIN} required user_{USER}="{quoted}";'),
                ("scram-sha-256", f"{_SCRAM} required;"),
                ("scram-sha-512", f"{_SCRAM} required;"),
            )
        },
    }


@pytest.fixture(scope="session")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker with USER and PASSWORD; for tests with the marker stack."""
    home = Home(tmp_path_factory.mktemp("broker"))
    own, controller, sasl, tls = free_ports(4)
    cert, keys = certificate(home.path)
    process = kafka.broker(home, {"kafka": own, "kafka-controller": controller}, {**os.environ, **SHORT_LIVED})
    with (process.cwd / "server.properties").open("a") as file:
        for key, value in settings(own, controller, sasl, tls, keys).items():
            file.write(f"{key}={value}\n".replace("\\", "\\\\"))
    log = home.path / "log"
    with log.open("wb") as out:
        running = subprocess.Popen(process.command, env=process.env, cwd=process.cwd, stdout=out, stderr=out)
    try:
        while not process.ready():
            assert running.poll() is None, log.read_text()[-4000:]
            time.sleep(0.1)
        _admit(f"{HOST}:{own}")
        yield Broker(f"{HOST}:{own}", f"{HOST}:{sasl}", f"{HOST}:{tls}", cert, log)
    finally:
        running.terminate()
        running.wait()


def _admit(bootstrap: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
        admin.alter_user_scram_credentials([UserScramCredentialUpsertion(USER, mechanism, PASSWORD)])
    admin.close()
