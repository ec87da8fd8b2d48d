"""What is known of series, alerts and rules on the real engine, by the user who may only read; of one tenant alone."""

import time
from collections.abc import Iterator

import orjson
import pytest

from promql.columns import Selector
from query import sql_catalog
from query.answers import Request
from query.catalog import Catalog
from query.clickhouse import SAID, ClickhouseStore
from query.guard import Guard
from query.memory import MemoryStore
from query.source import Limits
from query.spent import Spent, begin
from query.store import Alert
from sinks.clickhouse import Clickhouse
from sinks.records import alert_rule
from tests import embedded
from tests.notation import parse_series
from tests.query.small import LINES, filled
from tests.query.test_store import HOSTILE, START, H, M

DATABASE = "query_catalog"


@pytest.fixture(scope="module")
def clickhouse() -> Iterator[Clickhouse]:
    with filled(DATABASE) as client:
        yield client


@pytest.fixture(scope="module")
def store(clickhouse: Clickhouse) -> Iterator[ClickhouseStore]:
    reader = Clickhouse(embedded.endpoint(), *embedded.VIEWER, DATABASE, attempts=1, always=SAID)
    yield ClickhouseStore(reader, Limits(1000, 100_000, 1_000_000, 20))
    reader.close()


def test_cardinality_is_that_of_the_memory_store(store: ClickhouseStore) -> None:
    memory = MemoryStore()
    for line in LINES:
        labels, stamps, values = parse_series(line, M, START)
        memory.write("t", labels, list(zip(stamps.tolist(), values, strict=True)), START)
    got, want = store.cardinality("t", 3), memory.cardinality("t", 3)
    assert (got.series, got.pairs, got.tops) == (want.series, want.pairs, want.tops)
    assert got.tops["seriesCountByMetricName"] == [("http", 2), ("temp", 2)]
    assert got.first_ms == START
    assert store.metadata("t", "", 10) == [("http", "unknown", ""), ("temp", "unknown", "")]
    assert store.metadata("t", "", 1) == [("http", "unknown", "")]
    assert store.metadata("t", "temp", 1) == [("temp", "unknown", "")]
    nothing = store.cardinality("nobody", 3)
    assert (nothing.series, nothing.pairs, set(nothing.tops)) == (0, 0, set(sql_catalog.TOPS))


def test_a_time_that_ends_before_it_begins_holds_no_series(store: ClickhouseStore) -> None:
    catalog = Catalog(store, Guard(1000, 1000), 100)
    for first, last, count in ((START, START + 5 * M, 2), (START + 5 * M, START + M, 0)):
        asked = Request("t", {"start": str(first / 1000), "end": str(last / 1000)}, {"match[]": ["http"]}, START + H)
        assert len(orjson.loads(catalog.series(asked).data)) == count


def test_the_newest_transition_of_an_alert_counts(clickhouse: Clickhouse, store: ClickhouseStore) -> None:
    def happened(rule: str, state: str, at_s: int, seq: int, instance: str) -> None:
        clickhouse.command(
            "INSERT INTO alert_events (tenant, rule_id, alert, state, labels, annotations, value, active_at, "
            "evaluated_at, key, seq) SELECT 't', {rule:String}, 'Down', {state:String}, "
            "map('alertname', 'Down', 'i', {i:String}), map('summary', 'it\\'s down'), 7.5, "
            "toDateTime64(1714608000, 3), toDateTime64({at:Int64}, 3), {key:String}, {seq:UInt64}",
            {"rule": rule, "state": state, "i": instance, "at": at_s, "seq": seq, "key": f"{rule}{instance}{state}"},
        )

    happened("g/Down", "pending", 1714608000, 1, "1")
    happened("g/Down", "firing", 1714608060, 2, "1")
    happened("g/Down", "firing", 1714608060, 1, "2")
    happened("g/Down", "resolved", 1714608120, 2, "2")
    happened("g/Down", "retracted", 1714608180, 0, "1")
    happened("g/Down", "missed", 1714608180, 0, "3")
    assert store.alerts("t", 10) == [
        Alert(
            "g/Down",
            "Down",
            "firing",
            {"alertname": "Down", "i": "1"},
            {"summary": "it's down"},
            7.5,
            START,
            START + M,
        )
    ]
    assert store.alerts("u", 10) == []


@pytest.mark.parametrize("live", ["pending", "firing"])
@pytest.mark.parametrize(("first", "ended"), [("firing", "resolved"), ("pending", "inactive")])
def test_what_begins_at_a_tick_is_newer_than_what_ends_at_it(
    live: str, first: str, ended: str, clickhouse: Clickhouse, store: ClickhouseStore
) -> None:
    # As under an edit that gives the rule other keys: the new one counts its transitions from 1.
    tenant = f"edited-{first}-{live}"
    for state, at_s, seq, key in (
        (first, 1714608000, 1, "a"),
        (ended, 1714608060, 2, "b"),
        (live, 1714608060, 1, "c"),
    ):
        clickhouse.command(
            "INSERT INTO alert_events (tenant, rule_id, alert, state, labels, evaluated_at, key, seq) SELECT "
            "{tenant:String}, 'g/Down', 'Down', {state:String}, map('alertname', 'Down'), "
            "toDateTime64({at:Int64}, 3), {key:String}, {seq:UInt64}",
            {"tenant": tenant, "state": state, "at": at_s, "seq": seq, "key": key},
        )
    assert [one.state for one in store.alerts(tenant, 10)] == [live]


def test_the_newest_record_of_a_rule_counts(clickhouse: Clickhouse, store: ClickhouseStore) -> None:
    for key, value, version in (
        (b"t/g/Down", b"{}", 1),
        (b"t/g/Down", b'{"expr": "up"}', 2),
        (b"t/g/Gone", b"{}", 1),
        (b"t/g/Gone", None, 2),
        (b"u/g/Other", b"{}", 1),
    ):
        clickhouse.insert("alert_rules", alert_rule(key, value, version))
    assert store.rules("t", 10) == [("g/Down", '{"expr": "up"}')]
    assert store.rules("t", 0) == [("g/Down", '{"expr": "up"}')], "one more than the limit tells of excess"


@pytest.mark.parametrize("text", [*HOSTILE, "\0", "a\0b", "\\0", "\ud83d", "x" * 5000, "{{}}", "%s", "a' OR '1'='1"])
def test_no_string_leaves_its_parameter(store: ClickhouseStore, text: str) -> None:
    begin(Spent(20, time.monotonic))
    plain = text.encode("utf-8", "replace").decode()
    assert store.metadata("t", plain or "x", 10) in ([], store.metadata("t", "", 10))
    assert store.metadata(plain, "", 10) == []
    assert store.label_values("t", plain, None, 0, 2 * START, 10) == set()
    assert store.cardinality(plain, 2).series == 0
    assert store.alerts(plain, 10) == []
    assert len(store.source("t", 1).select(Selector("http", (("job", "=", plain),), START, START + H)).labels) == 0
    assert store.source(plain, 1).select(Selector("secret", (), START - 1, START + H)).labels == []
