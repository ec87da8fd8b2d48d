"""The agent as a process: its command line, and its way into ClickHouse."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from typing import TYPE_CHECKING

import pytest

from agent.__main__ import Agent, main
from agent.outbox import Record
from agent.settings import Settings
from schemas.topics import RAW

if TYPE_CHECKING:
    from tests.conftest import Stack


def test_a_wrong_setting_is_named_with_its_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIDEGAUGE_AGENT_INTERVAL_S", "soon")
    assert main([]) == 2
    assert "TG-settings: TIDEGAUGE_AGENT_INTERVAL_S='soon'" in capsys.readouterr().err


def test_settings_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--settings"]) == 0
    shown = capsys.readouterr().out
    for field in Settings.model_fields:
        assert f"TIDEGAUGE_{field.upper()}=" in shown


def test_settings_are_shown_without_passwords(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIDEGAUGE_AGENT_SCRAPE", "http://me:secret@h:1/m")
    assert main(["--settings"]) == 0
    shown = capsys.readouterr().out
    assert "http://h:1/m" in shown
    assert "secret" not in shown


def test_a_full_outbox_is_told_as_it_begins_and_as_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "tidegauge.agent")
    agent = Agent(Settings(kafka="127.0.0.1:1", agent_buffer_batches=1))
    for _ in range(4):
        agent.outbox.put(Record(b"k", b"v", 1))
        agent._tell()
    agent._tell()
    told, over = [record.message for record in caplog.records]
    assert told.startswith("TG-agent-buffer: 1 batches of 1 bytes wait, the oldest are dropped and counted; ")
    assert over == "nothing is dropped any more, 3 batches were"


@pytest.mark.stack
def test_metrics_of_this_machine_come_out_of_clickhouse(stack: "Stack") -> None:
    source = f"agent-test-{os.getpid()}"
    env = os.environ | {
        "TIDEGAUGE_KAFKA": stack.endpoints["kafka"],
        "TIDEGAUGE_AGENT_SOURCE": source,
        "TIDEGAUGE_AGENT_INTERVAL_S": "1",
        "TIDEGAUGE_AGENT_GROUPS": "tidegauge-",
        "TIDEGAUGE_AGENT_SCRAPE": f"query=http://{stack.endpoints['query']}/metrics,none=http://127.0.0.1:1/metrics",
    }
    agent = subprocess.Popen([sys.executable, "-m", "agent"], env=env, stderr=subprocess.PIPE, text=True)
    try:
        # Those that answer and those that do not: each tells whether it is up.
        wanted = {"node_load1": 1, "up": 3, "agent_batches_dropped_total": 1, "kafka_consumergroup_lag": True}
        found: dict[str, int] = {}
        deadline = time.monotonic() + 180
        while found != wanted and time.monotonic() < deadline:
            time.sleep(1)
            found = {name: series(stack, name, source) for name in wanted}
            found["kafka_consumergroup_lag"] = found["kafka_consumergroup_lag"] >= 16  # of metrics.raw and .valid
        assert found == wanted
    finally:
        agent.send_signal(signal.SIGTERM)
        _, said = agent.communicate(timeout=20)
    assert agent.returncode == 0, said
    assert "TG-scrape-connect" in said
    assert "0 batches dropped, 0 waiting" in said.splitlines()[-1]


def series(stack: "Stack", metric: str, source: str) -> int:
    """Return how many series of a metric have samples and come from this agent: by instance, or as its targets."""
    sql = (
        "SELECT uniqExact(s.series_id) FROM tidegauge.samples AS s "
        "INNER JOIN tidegauge.series AS d ON d.series_id = s.series_id "
        "WHERE s.metric = {metric:String} AND (d.labels['instance'] = {source:String} "
        "OR d.labels['job'] IN ('query', 'none', 'kafka')) AND s.ts >= now() - 120 FORMAT TabSeparated"
    )
    address = f"http://{stack.endpoints['clickhouse']}/?param_metric={metric}&param_source={source}"
    with urllib.request.urlopen(address, data=sql.encode(), timeout=30) as answer:
        return int(answer.read())


@pytest.mark.stack
def test_a_record_too_large_is_dropped_and_counted(stack: "Stack") -> None:
    from agent.delivery import Delivery
    from agent.outbox import Outbox

    outbox = Outbox(max_batches=10, max_bytes=1 << 26)
    outbox.put(Record(b"s", bytes(9 << 20), samples=5))
    delivery = Delivery(outbox, stack.endpoints["kafka"], RAW)
    delivery.start()
    delivery.stop()
    delivery.join(30)
    assert not delivery.is_alive()
    assert (len(outbox), outbox.dropped_batches, outbox.dropped_samples, delivery.sent_batches) == (0, 1, 5, 0)
