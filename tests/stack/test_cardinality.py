"""`tidegauge cardinality` on a real server."""

import time

import pytest

from sinks import rows
from sinks.clickhouse import Clickhouse
from sinks.ddl import apply
from stack.cardinality import main
from tests import embedded
from tests.udfs.gate.test_growth import told
from udfs.gate.growth import Growth

NOW = time.time_ns() // 1_000_000


def test_the_culprit_is_shown_with_a_policy(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    database = "cardinality_test"
    apply(embedded.endpoint(), "default", "", database)
    monkeypatch.setenv("TIDEGAUGE_CLICKHOUSE", embedded.endpoint())
    monkeypatch.setenv("TIDEGAUGE_CLICKHOUSE_DATABASE", database)
    growth, clickhouse = Growth(), Clickhouse(embedded.endpoint(), database=database)
    for step in range(3):
        clickhouse.insert("cardinality", rows.block("cardinality", told(growth, step * 150, 150, NOW + step * 3000)))
    assert main(["--tenant", "acme", "--policy"]) == 0
    said = capsys.readouterr().out
    assert "acme  hits: 450 new series in an hour, 450 a minute, 225 refused or folded" in said
    assert "450 values of user (u0, u1, u2 …); mostly from web-1" in said
    assert "per_label_value_limits: {user: 100}" in said
    assert main(["--tenant", "nobody"]) == 0
    assert "no metric made 100 new series" in capsys.readouterr().out
    daily = clickhouse.query("SELECT name, label, series, values, source FROM v_cardinality_daily").to_pylist()
    assert daily == [{"name": "hits", "label": "user", "series": 450, "values": 450, "source": "web-1"}]
