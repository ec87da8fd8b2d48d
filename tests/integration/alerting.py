"""Rules of a tenant, a source that drives them, and what alert.events tells of them."""

import threading
from pathlib import Path

import pytest
from kafka.errors import KafkaError

from load.rules import main as rules
from tests.integration.pipeline import Pipeline, now_ms, tenant_of

RULES = """
groups:
  - name: g
    interval: 1s
    rules:
      - record: load:twice
        expr: 2 * load
      - alert: Load
        expr: load:twice > 10
        for: 3s
      - alert: Gone
        expr: absent(load)
"""


def apply(pipeline: Pipeline, tenant: str, folder: Path, text: str) -> None:
    """Bring the rules of a file into force for a tenant, instead of those that it held before."""
    file = folder / f"{tenant}.yaml"
    file.write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIDEGAUGE_KAFKA", pipeline.stack.endpoints["kafka"])
        assert rules(["apply", str(file), "--tenant", tenant]) == 0


def applied(pipeline: Pipeline, word: str, folder: Path, text: str = RULES) -> str:
    """Bring rules into force for a new tenant; return it."""
    tenant = tenant_of(word)
    apply(pipeline, tenant, folder, text)
    return tenant


class Sender:
    """Sends one series twice a second; level is its value. What could not be sent in time is sent with its time."""

    def __init__(self, pipeline: Pipeline, tenant: str) -> None:
        self._pipeline, self._tenant = pipeline, tenant
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.level = 1.0

    def _run(self) -> None:
        while not self._done.wait(0.5):
            self._pipeline.send(self._tenant, {("load", (("host", "a"),)): self.level}, now_ms())

    def __enter__(self) -> "Sender":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


def states(pipeline: Pipeline, tenant: str, alert: str) -> list[tuple[int, str]]:
    """Return (seq, state) of each transition; a repeat of one says what the first said, apart from when.

    Not what is said afterwards of late samples (seq 0). Nothing while the broker is away.
    """
    found: dict[str, dict[str, object]] = {}
    try:
        said = list(pipeline.events(tenant))
    except KafkaError:
        return []
    for event in said:
        event.pop("emitted_at")
        if event["alert"] == alert and event["seq"] and not event["resend"]:
            assert found.setdefault(event["key"], event) == event
    return sorted((int(str(one["seq"])), str(one["state"])) for one in found.values())


def numbered(*words: str) -> list[tuple[int, str]]:
    """Return the words as the states of the transitions 1, 2, …"""
    return list(enumerate(words, 1))
