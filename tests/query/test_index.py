"""What is read does not depend on how the tables lie: granules of eight rows, many parts, repeats not yet merged."""

import re
from collections.abc import Iterator

import pytest

from promql.columns import Selector
from promql.grid import Grid
from promql.plan import Select
from query import sql, sql_catalog
from schemas.tiers import MINUTE, TIERS, Tier
from sinks.clickhouse import Clickhouse
from sinks.ddl import apply, value_codec
from tests import embedded

DATABASE = "query_index"
# 2026-12-01T00:00:00Z: an hour, a day and a month begin.
MIDNIGHT_S = 1_796_083_200
MIDNIGHT = 1000 * MIDNIGHT_S
# Nothing is left out before it is looked at, and nothing is read in an order that is already there.
WHOLE = dict.fromkeys(
    (
        *("use_primary_key", "use_partition_pruning", "use_partition_minmax_for_primary_key_pruning"),
        *("use_statistics", "use_statistics_for_part_pruning", "use_skip_indexes"),
        *("optimize_move_to_prewhere", "optimize_read_in_order", "optimize_use_implicit_projections"),
        *("split_parts_ranges_into_intersecting_and_non_intersecting_final",),
        *("split_intersecting_parts_ranges_into_layers_final",),
        *("enable_automatic_decision_for_merging_across_partitions_for_final", "enable_join_runtime_filters"),
    ),
    "0",
)
# A block as the writers send it: repeats stay in it.
AS_SENT = {"optimize_on_insert": "0"}
ID = "[3, 9007199254740993, 18446744073709551615][1 + cityHash64(number, {k}, 'id') % 3]"
NAME = "['down', 'up'][1 + cityHash64(number, {k}, 'name') % 2]"
# Within 2.5 s of midnight.
MOMENT = f"fromUnixTimestamp64Milli({MIDNIGHT} - 2500 + toInt64(cityHash64(number, {{k}}, 'at') % 5001), 'UTC')"
STALE = 9218868437227405314
FILL = {
    "samples": f"""(tenant, metric, series_id, ts, digits, divisor)
        SELECT 'acme', {NAME}, {ID}, {MOMENT}, if(number % 5 = 0, {STALE}, number % 100), number % 5 != 0
        FROM numbers(2000)""",
    "late_samples": f"SELECT 'acme', {NAME}, {ID}, {MOMENT} AS at, at + toIntervalSecond(number % 9) FROM numbers(500)",
    "series": f"""SELECT 'acme', {NAME}, {ID}, map('a', toString(series_id % 2)), 'gauge', '', {MOMENT}, {MOMENT}
        FROM (SELECT number, {ID} AS series_id FROM numbers(50))""",
    "rollup_1m": f"""(tenant, metric, series_id, ts, count, sum, first, version)
        SELECT 'acme', {NAME}, {ID},
            toDateTime({MIDNIGHT_S} + 60 * (toInt64(cityHash64(number, {{k}}) % 60) - 30), 'UTC'),
            {{k}} + 1 AS n, n, if(cityHash64(number, {{k}}, 'first') % 2 = 0, nan, n), n FROM numbers(300)""",
    "data_versions": f"""SELECT 'acme', {NAME}, toDateTime({MIDNIGHT_S} + 3600 * (toInt64(number % 100) - 50), 'UTC'),
        1000 * {{k}} + number FROM numbers(300)""",
    "completeness": f"""SELECT 'acme', '1m', toDateTime({MIDNIGHT_S} + 60 * (toInt64(number) - 50), 'UTC'),
        [cityHash64(number, {{k}}) % 9] FROM numbers(100)""",
    "alert_rules": "SELECT 'acme', concat('g/', toString(number)), {k}, (number + {k}) % 3 = 0, '' FROM numbers(50)",
    "distributions": f"""(tenant, metric, series_id, ts, count, version)
        SELECT 'acme', {NAME}, {ID}, {MOMENT}, 1 + cityHash64(number, {{k}}) % 9 AS n, n FROM numbers(500)""",
    "rejections": f"""(tenant, id, samples, received_at, key)
        SELECT 'acme', 'TG-x', 1, {MOMENT}, cityHash64(number, {{k}}) % 3 FROM numbers(500)""",
    "alert_events": f"""(tenant, rule_id, key, evaluated_at)
        SELECT 'acme', 'g/r', toString(number), {MOMENT.format(k=0)} FROM numbers({{k}} * 100, 200)""",
}


@pytest.fixture(scope="module")
def tables() -> Iterator[Clickhouse]:
    apply(embedded.endpoint(), "default", "", DATABASE)
    one = Clickhouse(embedded.endpoint(), database=DATABASE)
    for table, rows in FILL.items():
        text = one.query(
            "SELECT create_table_query AS made FROM system.tables WHERE database = {d:String} AND name = {t:String}",
            {"d": DATABASE, "t": table},
        )["made"][0].as_py()
        one.command(f"DROP TABLE {table} SYNC")
        one.command(re.sub(r"\bindex_granularity = \d+", "index_granularity = 8", text), settings=value_codec(one)[1])
        one.command(f"SYSTEM STOP MERGES {table}")
        for part in range(3):
            one.command(f"INSERT INTO {table} {rows.format(k=part)}", settings=AS_SENT)
    yield one
    one.close()


def told(tables: Clickhouse, statement: sql.Statement, **settings: str) -> list[str]:
    """Return the rows as text, which tells one NaN from another value and is equal to itself."""
    text, params = statement
    found = tables.query(text, params, {**sql.GRID_SETTINGS, **settings})
    return [repr(row) for row in found.to_pylist()]


BOUNDS = [
    (MIDNIGHT - 1, MIDNIGHT),
    (MIDNIGHT - 1000, MIDNIGHT + 999),
    (MIDNIGHT - 1777, MIDNIGHT + 2000),
]
IDS = [3, 2**64 - 1]


def statements(start: int, end: int) -> Iterator[sql.Statement]:
    asked, names = Selector("up", (("a", "=", "1"),), start, end), ["down", "up"]
    steps = Grid(MIDNIGHT - 2000, MIDNIGHT + 2000, 1000, 1000)
    for ids in (None, IDS):
        yield sql.samples("acme", asked, names, ids, 10 if ids else 10**6, True)
        yield sql.arrived_later("acme", asked, names, ids, MIDNIGHT + 3000, 10**6)
        yield sql.grid("acme", asked, names, ids, "last_over_time", steps, 2000)
        wide = Selector("up", (), start - 60_000, end + 1_200_000)
        yield sql.rollups("acme", wide, names, ids, MINUTE, ["count", "first"], 10**6)
    yield sql.versions("acme", names, start - 7_200_000, end)
    yield sql.completeness("acme", MINUTE.name, 600, end // 1000)
    yield sql.series("acme", asked, 10**6)
    yield sql.series("acme", Selector("", (), start, end), 2)
    yield sql_catalog.label_values("acme", "a", Select("up", asked.matchers), start, end, 10)
    yield sql_catalog.rules("acme", 10**6)


@pytest.mark.parametrize(("start", "end"), BOUNDS)
def test_what_the_service_asks(tables: Clickhouse, start: int, end: int) -> None:
    for statement in statements(start, end):
        assert sorted(told(tables, statement)) == sorted(told(tables, statement, **WHOLE)), statement


@pytest.mark.parametrize("view", ["v_samples", "v_distributions", "v_rejections", "v_alerts", "v_rollup_1m"])
def test_what_the_documented_bounds_find(tables: Clickhouse, view: str) -> None:
    for second in range(-2, 3):
        for bound in (">= toDateTime({}, 'UTC')", "<= toDateTime({}, 'UTC')", "< toDateTime64({}, 3, 'UTC')"):
            asked = f"SELECT count() AS n FROM {view} WHERE tenant = 'acme' AND time {bound}"
            statement: sql.Statement = (asked.format(MIDNIGHT_S + second), {})
            assert told(tables, statement) == told(tables, statement, **WHOLE), statement


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize(
    ("start", "end", "expected"), [(0, 3, [1, 2, 3]), (0, 1, [1]), (-1, 1, [1]), (0, 0, []), (-1, 0, [])]
)
def test_the_rows_in_which_time_begins(
    tables: Clickhouse, tier: Tier, start: int, end: int, expected: list[int]
) -> None:
    tables.command(f"""INSERT INTO {tier.table} (tenant, metric, series_id, ts, count, first, version)
        SELECT '1970', 'up', 1, toDateTime({tier.width_ms // 1000} * number, 'UTC'), 1, 1, 1 FROM numbers(4)""")
    asked = Selector("up", (), start * tier.width_ms, end * tier.width_ms)
    found = tables.query(*sql.rollups("1970", asked, ["up"], None, tier, ["count"], 100)).to_pylist()
    assert [row["ms"] // tier.width_ms for row in found] == expected
