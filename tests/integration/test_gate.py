"""The gate's policies on the real stack: limits hold through kills, totals stay right, the ledger balances."""

import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from stack.policy import main as policy
from tests.integration.gated import account, batch
from tests.integration.pipeline import Pipeline, eventually, now_ms, tenant_of

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]

STORED = "SELECT count() FROM samples FINAL WHERE tenant = {tenant:String}"
SERIES = "SELECT uniqExact(series_id) FROM samples WHERE tenant = {tenant:String}"
# A row an hour: the flood may lie in two.
GROWN = "SELECT DISTINCT name, label, source FROM v_cardinality WHERE tenant = {tenant:String}"
TOTALS = "SELECT ts, sum(value) AS total FROM samples FINAL WHERE tenant = {tenant:String} GROUP BY ts"


@pytest.fixture(scope="module", autouse=True)
def ahead(pipeline: Pipeline) -> str:
    """Return a tenant whose samples were sent before all tests of this module: their minute takes its time to close."""
    tenant = tenant_of("ahead")
    for step in range(10):
        at = now_ms()
        pipeline.send_record(batch(tenant, ["ahead"], at=at + 31_536_000_000), "ahead")
        pipeline.send_record(batch(tenant, [f"u{one}" for one in range(10)], at=at), f"source-{step}")
    return tenant


@dataclass(frozen=True, slots=True)
class Flood:
    """A million values of a label in a minute, and a quiet tenant beside. told: when the culprit was named, s."""

    loud: str
    quiet: str
    sent: int
    begun: float
    ended: float
    told: float | None
    memory: int


@pytest.fixture(scope="module")
def flood(pipeline: Pipeline, apply: Callable[[str], None]) -> Flood:
    """Return the flood when it has been sent. Its window of a minute slides while other tests run."""
    loud, quiet = tenant_of("loud"), tenant_of("quiet")
    limits = "{name: hits, per_label_value_limits: {user: 100}}"
    apply(f"policies: [{{tenant: {loud}, window: 1m, metrics: [{limits}]}}]")
    before = memory(pipeline)
    begun, told, sent = time.monotonic(), None, 0
    for number in range(1000):
        pipeline.post(batch(loud, [f"u{number}-{one}" for one in range(1000)], source="loud-1"), "loud-1")
        if number % 10 == 0:
            pipeline.post(batch(quiet, [f"q{one}" for one in range(10)], source="quiet-1"), "quiet-1")
            sent += 10
            if told is None and pipeline.rows(GROWN, tenant=loud):
                told = time.monotonic() - begun
        time.sleep(max(0.0, begun + number * 0.06 - time.monotonic()))
    return Flood(loud, quiet, sent, begun, time.monotonic(), told, before)


def refused(pipeline: Pipeline, tenant: str) -> dict[str, Any]:
    """Return the account of the flood's loud tenant; fail if any but its values over the limit was refused."""
    held = account(pipeline, tenant)
    assert held["rejected"] == {"TG-label-values-limit": held["received"] - held["forwarded"]}
    return held


@pytest.mark.timeout(900)
def test_a_million_values_in_a_minute_cost_a_quiet_tenant_nothing(pipeline: Pipeline, flood: Flood) -> None:
    print(f"sent in {flood.ended - flood.begun:.0f} s; the culprit was named after {flood.told} s")
    eventually(lambda: account(pipeline, flood.quiet)["forwarded"], flood.sent, seconds=300)
    assert account(pipeline, flood.quiet)["rejected"] == {}
    eventually(lambda: pipeline.value(STORED, tenant=flood.quiet), flood.sent)
    eventually(lambda: account(pipeline, flood.loud)["received"], 1_000_000, seconds=300)
    refused(pipeline, flood.loud)
    # A window of 1m slides while the flood is under way, if it takes longer.
    assert 100 <= pipeline.value(SERIES, tenant=flood.loud) <= 300
    assert pipeline.rows(GROWN, tenant=flood.loud) == [{"name": "hits", "label": "user", "source": "loud-1"}]
    grew = memory(pipeline) - flood.memory
    print(f"TaskManagers grew by {grew >> 20} MiB")
    assert grew < 1 << 30
    assert flood.told is not None
    assert flood.told < 5.0


def test_a_limit_holds_and_the_ledger_says_what_became_of_the_rest(
    pipeline: Pipeline, apply: Callable[[str], None]
) -> None:
    tenant = tenant_of("limit")
    apply(f"policies: [{{tenant: {tenant}, metrics: [{{name: hits, max_series: 10}}]}}]")
    known = batch(tenant, [f"u{number}" for number in range(8)])
    pipeline.send_record(known)
    # Which series are first is up to the order of arrival at the owner: sources have none among them.
    eventually(lambda: int(account(pipeline, tenant)["forwarded"]), 8)
    for first in range(8, 40, 8):
        pipeline.send_record(batch(tenant, [f"u{number}" for number in range(first, first + 8)]), f"source-{first}")
    for _ in range(5):
        pipeline.send_record(known)
    wanted = {"received": 80, "forwarded": 50, "rejected": {"TG-series-limit": 30}, "missing": 0}
    eventually(lambda: {k: v for k, v in account(pipeline, tenant).items() if k in wanted}, wanted)
    eventually(lambda: pipeline.value(SERIES, tenant=tenant), 10)


def test_folding_keeps_the_total(pipeline: Pipeline, apply: Callable[[str], None]) -> None:
    tenant = tenant_of("fold")
    apply(f"policies: [{{tenant: {tenant}, action: fold, metrics: [{{name: hits, max_series: 10}}]}}]")
    start = now_ms()
    for step in range(10):
        pipeline.send_record(batch(tenant, [f"u{number}" for number in range(100)], at=start + step))
        time.sleep(0.2)
    eventually(lambda: pipeline.value(STORED, tenant=tenant), 110)
    assert pipeline.value(SERIES, tenant=tenant) == 11
    totals = pipeline.rows(TOTALS, tenant=tenant)
    assert [row["total"] for row in totals] == [100.0] * 10
    eventually(lambda: account(pipeline, tenant)["folded"], 890)


@pytest.mark.kills
def test_no_kill_makes_a_limit_leak(pipeline: Pipeline, apply: Callable[[str], None]) -> None:
    tenant = tenant_of("leak")
    apply(f"policies: [{{tenant: {tenant}, metrics: [{{name: hits, max_series: 100}}]}}]")
    records = []
    for step in range(60):
        users = [f"u{number}" for number in range(step * 5, step * 5 + 20)]
        records.append(batch(tenant, users))
        pipeline.send_record(records[-1], f"source-{step}")
        if step in (20, 40):
            pipeline.stack.kill(f"taskmanager-{step // 20}")
        time.sleep(0.1)
    for number, record in enumerate(records):
        pipeline.send_record(record, f"source-{number}")
    eventually(lambda: account(pipeline, tenant)["received"], 2 * 60 * 20, seconds=180)
    assert account(pipeline, tenant)["missing"] == 0
    eventually(lambda: pipeline.value(STORED, tenant=tenant), account(pipeline, tenant)["forwarded"] // 2)
    assert pipeline.value(SERIES, tenant=tenant) == 100


def test_a_rate_cuts_its_own_tenant_only(pipeline: Pipeline, apply: Callable[[str], None]) -> None:
    loud, quiet = tenant_of("loud"), tenant_of("quiet")
    apply(f"policies: [{{tenant: {loud}, samples_per_second: 100, samples_burst: 400}}]")
    users = [f"u{number}" for number in range(50)]
    start = now_ms()
    for step in range(40):
        # The same times for all: what passes of a second is up to the machine's speed.
        pipeline.post(batch(loud, users, "loud-1", start + step), "loud-1")
        pipeline.post(batch(quiet, users, "quiet-1", start + step), "quiet-1")
        time.sleep(0.05)
    took = (now_ms() - start) / 1000
    eventually(lambda: (account(pipeline, loud)["received"], account(pipeline, quiet)["received"]), (2000, 2000))
    held = account(pipeline, loud)
    assert held["rejected"] == {"TG-rate-limit": 2000 - held["forwarded"]}
    # Half the burst is there at the start, since two subtasks share it; the broker may stamp a second later.
    assert 200 <= held["forwarded"] <= 400 + 100 * (took + 1)
    assert (held["missing"], account(pipeline, quiet)["forwarded"], account(pipeline, quiet)["rejected"]) == (
        0,
        2000,
        {},
    )
    eventually(lambda: pipeline.value(STORED, tenant=loud), held["forwarded"])
    eventually(lambda: pipeline.value(STORED, tenant=quiet), 2000)
    said = pipeline.rows("SELECT DISTINCT id, `limit` FROM rejections WHERE tenant = {tenant:String}", tenant=loud)
    assert said == [{"id": "TG-rate-limit", "limit": "100 samples a second, 400 at once"}]


def test_limits_and_their_use_are_series(pipeline: Pipeline, apply: Callable[[str], None]) -> None:
    tenant = tenant_of("use")
    apply(
        f"policies: [{{tenant: {tenant}, max_series: 9, samples_per_second: 50, "
        "metrics: [{name: hits, max_series: 8}]}]"
    )

    def asked(name: str) -> list[float]:
        pipeline.send_record(batch(tenant, [f"u{number}" for number in range(10)]))
        _, answer = pipeline.ask("/api/v1/query", "default", query=f'tidegauge_gate_{name}{{tenant="{tenant}"}}')
        return [float(one["value"][1]) for one in answer["data"]["result"]]

    for name, wanted in (
        ("series", [8.0]),
        ("series_limit", [9.0]),
        ("metric_series_limit", [8.0]),
        ("samples_per_second_limit", [50.0]),
    ):
        eventually(partial(asked, name), wanted)
    eventually(lambda: asked("rejected_samples_total") > [0.0], wanted=True)
    # Each is told by a source of its own, and may come later than those before.
    eventually(lambda: [1 < rate < 60 for rate in asked("samples_per_second")], [True])
    # The example rule's words.
    eventually(lambda: asked(f'metric_series{{tenant="{tenant}"}} / tidegauge_gate_metric_series_limit'), [1.0])
    metrics = f"http://{pipeline.stack.status()['metrics']}/metrics"

    def gauges() -> list[float | None]:
        with urllib.request.urlopen(metrics, timeout=30) as answer:
            lines = [line for line in answer.read().decode().splitlines() if f'tenant="{tenant}"' in line]
        found = {line.partition("{")[0].rpartition("operator_tenant_")[2]: float(line.split()[-1]) for line in lines}
        return [found.get(name) for name in ("series", "series_limit", "samples_per_second_limit")]

    # The JobManager asks the TaskManagers for what they measure once in ten seconds, when it is asked.
    eventually(lambda: gauges() == [8, 9, 50], wanted=True)


@pytest.mark.kills
def test_a_kill_around_a_change_of_policy_decides_nothing_twice(
    pipeline: Pipeline, apply: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEGAUGE_KAFKA", pipeline.stack.endpoints["kafka"])
    tenant = tenant_of("change")
    text = "policies: [{tenant: %s, metrics: [{name: hits, max_series: %d}]}]"
    apply(text % (tenant, 1000))
    start = now_ms()
    for step in range(40):
        if step == 20:
            file = tmp_path / "tighter.yaml"
            file.write_text(text % (tenant, 100))
            assert policy(["apply", str(file)]) == 0
        pipeline.send_record(batch(tenant, [f"u{step}-{one}" for one in range(5)], at=start + step), f"source-{step}")
        if step == 32:
            pipeline.stack.kill("taskmanager-1")
        time.sleep(0.2)
    eventually(lambda: account(pipeline, tenant)["received"], 200, seconds=180)
    held = account(pipeline, tenant)
    assert held["rejected"] == {"TG-series-limit": 200 - held["forwarded"]}
    assert 100 <= held["forwarded"] < 200
    assert held["missing"] == 0
    # What was stored before the kill is what the ledger says after it.
    eventually(lambda: pipeline.value(STORED, tenant=tenant), held["forwarded"])
    # What grows is counted on: of 250 new series 90 came after the kill; what was noted since the last telling, two
    # seconds apart, is forgotten.
    time.sleep(2.5)
    pipeline.send_record(batch(tenant, [f"last-{one}" for one in range(50)]))
    grown = "SELECT sum(series) FROM v_cardinality WHERE tenant = {tenant:String}"
    eventually(lambda: (pipeline.value(grown, tenant=tenant) or 0) > 150, wanted=True)


def test_a_sample_a_year_ahead_makes_no_other_late(pipeline: Pipeline, ahead: str) -> None:
    eventually(lambda: account(pipeline, ahead)["received"], 110)
    assert account(pipeline, ahead)["rejected"] == {"TG-too-future": 10}
    eventually(lambda: pipeline.value(STORED, tenant=ahead), 100)
    # The minute closes with all of them in it, and nothing comes after it.
    counted = "SELECT sum(count) FROM rollup_1m FINAL WHERE tenant = {tenant:String}"
    eventually(lambda: int(pipeline.value(counted, tenant=ahead) or 0), 100, seconds=120)
    assert pipeline.value("SELECT count() FROM late_samples WHERE tenant = {tenant:String}", tenant=ahead) == 0


@pytest.mark.timeout(900)
def test_after_the_flood_new_values_pass_again(pipeline: Pipeline, flood: Flood) -> None:
    eventually(lambda: account(pipeline, flood.loud)["received"], 1_000_000, seconds=300)
    held = refused(pipeline, flood.loud)
    time.sleep(max(0.0, flood.ended + 70 - time.monotonic()))
    pipeline.send_record(batch(flood.loud, ["afterwards"], source="loud-2"), "loud-2")
    eventually(lambda: account(pipeline, flood.loud)["forwarded"], held["forwarded"] + 1)


def memory(pipeline: Pipeline) -> int:
    """Return what the TaskManagers hold, bytes."""
    processes = pipeline.stack.status()["processes"]
    pids = [one["pid"] for name, one in processes.items() if name.startswith("taskmanager")]
    return sum(psutil.Process(pid).memory_info().rss for pid in pids)
