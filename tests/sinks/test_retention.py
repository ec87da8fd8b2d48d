"""Retention on the real engine: rows on both sides of each limit, in every table, of two classes at once."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from schemas.retention import MOST_DAYS, Policy, RetentionError, parse
from schemas.ttl import Ttl, ttls
from sinks import ddl
from sinks.clickhouse import Clickhouse
from sinks.retention import DEFAULT_FILE, RetentionSettings, _as_kept, apply, current, pending
from tests import embedded
from udfs.gate.limits import Limits

TIERS = {"raw": 2, "1m": 14, "5m": 30, "1h": 90, "1d": 730}
LONG = {"raw": 7, "1m": 30, "5m": 90, "1h": 400, "1d": 1825}
POLICY = Policy.model_validate({"classes": {"standard": TIERS, "long": LONG}, "tenants": {"a": "long", "b": "long"}})
NAMES = count()

# table, tier, column of time, how far a partition reaches at most, what else a row needs
TABLES = [
    ("samples", "raw", "ts", 1),
    ("late_samples", "raw", "ts", 1),
    ("rollup_1m", "1m", "ts", 1),
    ("rollup_5m", "5m", "ts", 1),
    ("rollup_1h", "1h", "ts", 7),
    ("rollup_1d", "1d", "ts", 31),
    ("series", "1d", "last_seen", 31),
    ("data_versions", "1d", "block", 31),
]


@pytest.fixture
def clickhouse() -> Iterator[Clickhouse]:
    database = f"retention_{next(NAMES)}"
    ddl.apply(embedded.endpoint(), "default", "", database)
    one = Clickhouse(embedded.endpoint(), database=database)
    yield one
    one.close()


def write(clickhouse: Clickhouse, table: str, column: str, age_days: float, tenant: str, **more: str) -> None:
    """Write one row; other columns keep their defaults."""
    at = datetime.now(UTC) - timedelta(days=age_days)
    names = ", ".join(["tenant", column, *more])
    values = ", ".join(["{tenant:String}", "toDateTime({at:Int64}, 'UTC')", *(f"{{{name}:String}}" for name in more)])
    params: dict[str, str | int] = {"tenant": tenant, "at": int(at.timestamp()), **more}
    clickhouse.command(f"INSERT INTO {table} ({names}) SELECT {values}", params)


def left(clickhouse: Clickhouse, table: str, what: str = "tenant") -> list[str]:
    # After a change of policy a mutation reckons anew what expires.
    running = "SELECT count() FROM system.mutations WHERE database = {database:String} AND NOT is_done"
    while clickhouse.command(running, {"database": clickhouse.database}).strip() != "0":
        time.sleep(0.05)
    clickhouse.command(f"OPTIMIZE TABLE {table} FINAL")
    return sorted(clickhouse.query(f"SELECT {what} AS x FROM {table} FINAL").column("x").to_pylist())


@pytest.mark.parametrize(("table", "tier", "column", "partition"), TABLES)
def test_what_is_too_old_for_its_class_goes_and_nothing_else(
    clickhouse: Clickhouse, table: str, tier: str, column: str, partition: int
) -> None:
    apply(clickhouse, POLICY)
    clickhouse.command(f"SYSTEM STOP MERGES {table}")
    for tenant, kept in (("a", LONG[tier]), ("default", TIERS[tier])):
        write(clickhouse, table, column, kept - 0.01, tenant)
        write(clickhouse, table, column, kept + partition + 0.01, tenant)
    # Too old for the default class, not for class long.
    write(clickhouse, table, column, TIERS[tier] + partition + 0.01, "b")
    clickhouse.command(f"SYSTEM START MERGES {table}")
    assert left(clickhouse, table) == ["a", "b", "default"]


def test_classes_that_share_a_part_expire_each_by_its_own(clickhouse: Clickhouse) -> None:
    for tenant in ("a", "b", "default", "other"):
        write(clickhouse, "samples", "ts", 4, tenant)
    clickhouse.command("OPTIMIZE TABLE samples FINAL")
    assert clickhouse.command("SELECT uniq(_part) FROM samples").strip() == "1"
    apply(clickhouse, POLICY)
    assert left(clickhouse, "samples") == ["a", "b"]


def test_completeness_follows_the_tier_of_its_row(clickhouse: Clickhouse) -> None:
    apply(clickhouse, POLICY)
    for tier in ("1m", "5m", "1h", "1d"):
        for tenant, days in (("a", LONG[tier]), ("default", TIERS[tier])):
            write(clickhouse, "completeness", "ts", days - 0.01, f"{tenant}", tier=tier)
            write(clickhouse, "completeness", "ts", days + 1.01, f"{tenant}", tier=tier)
    assert left(clickhouse, "completeness", "concat(tenant, tier)") == sorted(
        f"{tenant}{tier}" for tenant in ("a", "default") for tier in ("1m", "5m", "1h", "1d")
    )


@pytest.mark.parametrize(
    ("table", "column", "days"), [("rejections", "received_at", 7), ("alert_events", "evaluated_at", 90)]
)
def test_what_no_tier_has(clickhouse: Clickhouse, table: str, column: str, days: int) -> None:
    apply(clickhouse, POLICY)
    write(clickhouse, table, column, days - 0.01, "a")
    write(clickhouse, table, column, days + 1.01, "b")
    assert left(clickhouse, table) == ["a"]


def test_a_changed_policy_changes_what_expires(clickhouse: Clickhouse) -> None:
    apply(clickhouse, POLICY)
    for tenant in ("a", "default"):
        write(clickhouse, "samples", "ts", 1.5, tenant)
        write(clickhouse, "samples", "ts", 6.5, tenant)
    assert left(clickhouse, "samples") == ["a", "a", "default"]
    shorter = Policy.model_validate({"classes": {"standard": {**TIERS, "raw": 14}, "short": {**TIERS, "raw": 3}},
                                     "tenants": {"a": "short"}})  # fmt: skip
    assert [change.table for change in apply(clickhouse, shorter)][:2] == ["samples", "late_samples"]
    write(clickhouse, "samples", "ts", 6.5, "default")
    assert left(clickhouse, "samples") == ["a", "default", "default"]


def test_rows_that_a_longer_policy_saves_are_not_dropped_by_the_old_one(clickhouse: Clickhouse) -> None:
    apply(clickhouse, POLICY)
    clickhouse.command("SYSTEM STOP TTL MERGES samples")
    write(clickhouse, "samples", "ts", 6.5, "default")
    apply(clickhouse, Policy.model_validate({"classes": {"standard": {**TIERS, "raw": 14}}}))
    clickhouse.command("SYSTEM START TTL MERGES samples")
    assert left(clickhouse, "samples") == ["default"]
    expires = clickhouse.query(
        "SELECT delete_ttl_info_max AS at FROM system.parts"
        " WHERE database = {database:String} AND table = 'samples' AND active",
        {"database": clickhouse.database},
    ).to_pylist()
    assert all(row["at"] > datetime.now(UTC).timestamp() for row in expires)


def test_applied_once_and_then_nothing_to_do(clickhouse: Clickhouse) -> None:
    changes = apply(clickhouse, POLICY)
    assert {change.table for change in changes} == set(ttls(POLICY))
    assert all(change.before == "" and "toIntervalDay" in change.now for change in changes)
    assert apply(clickhouse, POLICY) == []
    assert current(clickhouse)["samples"] == changes[0].now
    other = Policy.model_validate({"classes": {"standard": TIERS, "long": LONG}, "tenants": {"a": "long"}})
    assert "alert_events" not in pending(clickhouse, other)
    # Changed by hand: seen, and put right.
    clickhouse.command("ALTER TABLE rejections MODIFY TTL toStartOfDay(received_at) + toIntervalDay(1)")
    assert [change.table for change in apply(clickhouse, POLICY)] == ["rejections"]


HOSTILE = ["'", "\\", "\\'", "'); DROP TABLE samples; --", "{c0:Array(String)}", "a\nb\tc", "é漢", "] , 'x'", "%s", "`"]


def test_the_engine_quotes_whatever_a_tenant_is_called(clickhouse: Clickhouse) -> None:
    # The policy lets no such name in; nothing rests on that.
    ttl = Ttl("toStartOfDay(ts) + toIntervalDay(if(has({c0:Array(String)}, tenant), 20, 2))", {"c0": HOSTILE})
    clickhouse.command(f"ALTER TABLE samples MODIFY TTL {ttl.expression}", ttl.tenants)
    assert current(clickhouse)["samples"] == _as_kept(clickhouse, ttl)
    for tenant in [*HOSTILE, "default"]:
        write(clickhouse, "samples", "ts", 5, tenant)
    assert left(clickhouse, "samples") == sorted(HOSTILE)


def test_raw_outlives_what_the_gate_accepts() -> None:
    shortest = min(one.raw for one in RetentionSettings().policy().classes.values())
    assert RetentionSettings().gate_tolerance_s == Limits().tolerance_s < shortest * 86_400
    with pytest.raises(RetentionError, match="TG-retention-tolerance: the gate accepts samples 172800 s late"):
        RetentionSettings.model_validate({"gate_tolerance_s": 172_800}).policy()


def test_the_file_that_is_shipped_has_the_defaults() -> None:
    policy = parse(DEFAULT_FILE.read_text(), "retention.yaml")
    assert policy.of("anyone") == Policy.model_validate({}).of("anyone")
    assert set(policy.classes) == {"standard", "long", "archive"}


def test_the_longest_limit_does_not_wrap_into_the_past(clickhouse: Clickhouse) -> None:
    longest = dict.fromkeys(TIERS, MOST_DAYS)
    apply(clickhouse, Policy.model_validate({"classes": {"standard": longest}}))
    for table, _, column, _ in TABLES:
        write(clickhouse, table, column, 0, "a")
        assert left(clickhouse, table) == ["a"], table


def test_what_is_kept_for_ever_stays_and_its_neighbours_go(clickhouse: Clickhouse) -> None:
    every = dict.fromkeys(TIERS, "forever")
    policy = Policy.model_validate(
        {"classes": {"standard": TIERS, "kept": every}, "tenants": {"k": "kept", "ci-*": "kept"}}
    )
    apply(clickhouse, policy)
    assert apply(clickhouse, policy) == []
    for table, _, column, _ in TABLES:
        for tenant in ("k", "ci-7", "ci", "default"):
            write(clickhouse, table, column, 20_000, tenant)
        assert left(clickhouse, table) == ["ci-7", "k"], table
    write(clickhouse, "completeness", "ts", 20_000, "k", tier="1m")
    write(clickhouse, "completeness", "ts", 20_000, "ci", tier="1m")
    assert left(clickhouse, "completeness") == ["k"]
