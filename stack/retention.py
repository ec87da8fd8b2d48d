"""`tidegauge retention check [FILE] | apply [FILE] | list`: how long ClickHouse keeps what, by policy and in force."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from schemas.retention import DAY_S, TIERS, Policy, RetentionError, Tier, shown
from schemas.ttl import LAST_S, ttls
from sinks import retention
from sinks.clickhouse import Clickhouse
from sinks.refusal import ClickhouseError, Unavailable
from sinks.retention import RetentionSettings

_OTHERS = ("rejections", "ledger", "cardinality", "alert_events")
# The table that stands for a tier; its neighbours of the same tier go with it.
_TABLES: dict[Tier, str] = {"raw": "samples", **{tier: f"rollup_{tier}" for tier in TIERS[1:]}}
# A day that begins a week and a month: what a TTL adds to it is what it adds to the end of any partition.
_UNTIL = """
SELECT tenant, toInt64(toUnixTimestamp({now})) AS until, toInt64(toUnixTimestamp({usual})) AS usual
FROM (
    SELECT arrayJoin({{tenants:Array(String)}}) AS tenant, toDateTime('2024-01-01 00:00:00', 'UTC') AS ts,
        ts AS received_at, ts AS minute, ts AS hour, ts AS evaluated_at
)
"""


def text(policy: Policy) -> str:
    """Return a policy as a table for people, days per class and tier."""
    rows = [
        (name, [shown(kept.days(tier)) for tier in TIERS], ", ".join(_members(policy, name)) or "none")
        for name, kept in policy.classes.items()
    ]
    return _table(rows, [shown(getattr(policy, one)) for one in _OTHERS])


def _members(policy: Policy, name: str) -> list[str]:
    """Return the tenants of a class, and `all others` of the default's."""
    named = sorted(tenant for tenant, own in policy.tenants.items() if own == name)
    return [*named, *(["all others"] if name == policy.default else [])]


def _table(rows: Sequence[tuple[str, Sequence[str], str]], others: Sequence[str]) -> str:
    width = max(len(name) for name, _, _ in (*rows, ("class", (), "")))
    lines = [f"{'class':<{width}}  " + " ".join(f"{tier:>7}" for tier in TIERS) + "  tenants"]
    lines += [f"{name:<{width}}  {' '.join(f'{one:>7}' for one in days)}  {who}" for name, days, who in rows]
    told = ", ".join(f"{name} {days}" for name, days in zip(_OTHERS, others, strict=True))
    return "\n".join([*lines, f"{told} (days, all tenants)"])


def apply(clickhouse: Clickhouse, policy: Policy) -> None:
    """Bring the tables to the policy and say what changed."""
    changes = retention.apply(clickhouse, policy)
    for change in changes:
        print(f"{change.table}: {change.before or 'for ever'} -> {change.now}")
    print(f"{clickhouse.database}: " + (f"retention of {len(changes)} tables changed" if changes else "up to date"))


def show(clickhouse: Clickhouse, policy: Policy) -> None:
    """Print what is in force, as days by class and tier, and which tables are not as the policy says."""
    stands = {who: _stand_in(who) for name in policy.classes for who in _members(policy, name)}
    usual = RetentionSettings.BUILT_IN
    ttl = retention.current(clickhouse)
    kept = [
        _in_force(clickhouse, table, ttl.get(table, ""), usual.of("").days(tier), [*stands.values()])
        for tier, table in _TABLES.items()
    ]
    rows = []
    for name in policy.classes:
        # Usually one row; more while a change of the file waits for `apply`.
        alike: dict[tuple[str, ...], list[str]] = {}
        for who in _members(policy, name):
            alike.setdefault(tuple(days[stands[who]] for days in kept), []).append(who)
        rows += [(name, days, ", ".join(who)) for days, who in alike.items()]
    anyone = [_stand_in("")]
    others = [_in_force(clickhouse, one, ttl.get(one, ""), getattr(usual, one), anyone)[anyone[0]] for one in _OTHERS]
    print(_table(rows, others))
    if waiting := retention.pending(clickhouse, policy):
        print(f"not as the policy says: {', '.join(waiting)}; `tidegauge retention apply` brings it into force")


def _stand_in(who: str) -> str:
    """Return a name that a tenant, or those of a beginning, or (all others) those without a class are judged by."""
    if who in ("", "all others"):
        return "/"  # in no tenant's name
    return f"{who[:-1]}/" if who.endswith("*") else who


def _in_force(clickhouse: Clickhouse, table: str, ttl: str, usual: int, tenants: Sequence[str]) -> dict[str, str]:
    """Return the days that a table keeps of each tenant, by the TTL that it has, reckoned by ClickHouse."""
    if not ttl:
        return dict.fromkeys(tenants, "forever")
    asked = _UNTIL.format(now=ttl, usual=ttls(RetentionSettings.BUILT_IN)[table].expression)
    try:
        rows = clickhouse.query(asked, {"tenants": [*tenants]}).to_pylist()
    except ClickhouseError:  # of other columns: nothing that `apply` made
        print(f"{table}: {ttl}")
        return dict.fromkeys(tenants, "?")
    return {
        row["tenant"]: "forever" if row["until"] >= LAST_S else f"{usual + (row['until'] - row['usual']) / DAY_S:g}"
        for row in rows
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code."""
    parser = argparse.ArgumentParser(prog="tidegauge retention", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    checking = commands.add_parser("check", help="say what a policy file holds, or what is wrong with it")
    applying = commands.add_parser("apply", help="bring a policy file into force")
    for one in (checking, applying):
        one.add_argument("file", nargs="?", type=Path, metavar="FILE", help="default: TIDEGAUGE_RETENTION")
    commands.add_parser("list", help="print how many days are kept of which tenants, as it is in force")
    args = parser.parse_args(argv)
    settings = RetentionSettings()
    try:
        if args.command == "check":
            print(text(settings.policy(args.file)))
            return 0
        with closing(settings.connect()) as clickhouse:
            if args.command == "list":
                show(clickhouse, settings.policy())
            else:
                apply(clickhouse, settings.policy(args.file))
    except (RetentionError, ClickhouseError, Unavailable) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
