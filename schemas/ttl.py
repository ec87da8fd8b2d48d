"""The TTL expression of every table, from the retention policy. Pure.

A row goes at the end of the partition's day, week or month that it lies in, plus the days of its class: all rows of a
partition and class expire at one moment, and ClickHouse drops whole parts or rewrites a mixed one once per class.
Without the rounding a part would be rewritten every merge_with_ttl_timeout (4 h) for as long as it expires.

`forever` is the last second that a TTL can hold, in 2106. Leaving such tenants out by a condition (TTL … WHERE) or by a
TTL of 0 would let ClickHouse drop whole parts which they share with others.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from schemas.retention import DAY_S, FOREVER, TIERS, Policy, Tier

LAST_S = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Ttl:
    """A table's TTL expression; tenants fill its {name:Array(String)}."""

    expression: str
    tenants: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Days:
    """Days as an expression over a row's tenant, the lists that it needs, and whether some rows stay for ever."""

    text: str
    tenants: dict[str, list[str]]
    forever: bool


# What a row's time is rounded up to: the end of its partition.
_DAY = "toStartOfDay({column}) + toIntervalDay(1)"
_WEEK = "toDateTime(toMonday({column}), 'UTC') + toIntervalDay(7)"
_MONTH = "toDateTime(toStartOfMonth({column}) + toIntervalMonth(1), 'UTC')"

_TIERED: dict[str, tuple[Tier, str, str]] = {
    "samples": ("raw", _DAY, "ts"),
    "late_samples": ("raw", _DAY, "ts"),
    "distributions": ("raw", _DAY, "ts"),
    "rollup_1m": ("1m", _DAY, "ts"),
    "rollup_5m": ("5m", _DAY, "ts"),
    "rollup_1h": ("1h", _WEEK, "ts"),
    "rollup_1d": ("1d", _MONTH, "ts"),
    # These outlive what they speak of: 1d is the longest tier of every class.
    "series": ("1d", _MONTH, "last_seen"),
    "data_versions": ("1d", _MONTH, "block"),
}


def ttls(policy: Policy) -> dict[str, Ttl]:
    """Return the TTL of every table that has one."""
    found = {}
    for table, (tier, end, column) in _TIERED.items():
        found[table] = _ttl(end.format(column=column), _days(policy, tier, "c"))
    found["completeness"] = _completeness(policy)
    for table, column, kept in (
        ("rejections", "received_at", policy.rejections),
        ("ledger", "minute", policy.ledger),
        ("cardinality", "hour", policy.cardinality),
        ("alert_events", "evaluated_at", policy.alert_events),
    ):
        found[table] = _ttl(_DAY.format(column=column), _Days(str(kept), {}, kept >= FOREVER))
    return found


def _ttl(end: str, days: _Days) -> Ttl:
    if not days.forever:
        return Ttl(f"{end} + toIntervalDay({days.text})", days.tenants)
    # In seconds of 64 bits, since a DateTime beyond its last second would wrap into the past.
    seconds = f"toInt64(toUnixTimestamp({end})) + toInt64({days.text}) * {DAY_S}"
    return Ttl(f"toDateTime(least({seconds}, {LAST_S}), 'UTC')", days.tenants)


def _completeness(policy: Policy) -> Ttl:
    tenants: dict[str, list[str]] = {}
    cases, forever = [], False
    for tier in TIERS[1:]:
        days = _days(policy, tier, f"t{tier}_")
        tenants |= days.tenants
        forever |= days.forever
        cases.append(days.text if tier == TIERS[-1] else f"tier = '{tier}', {days.text}")
    return _ttl(_DAY.format(column="ts"), _Days(f"multiIf({', '.join(cases)})", tenants, forever))


def _days(policy: Policy, tier: Tier, prefix: str) -> _Days:
    """Return the days of a row. Names come before beginnings, longer beginnings before shorter ones."""
    usual = policy.classes[policy.default].days(tier)
    cases: list[str] = []
    lists: dict[str, list[str]] = {}
    seen = {usual}
    for days, tenants in _named(policy, tier):
        name = f"{prefix}{len(lists)}"
        lists[name] = tenants
        cases.append(f"has({{{name}:Array(String)}}, tenant), {days}")
        seen.add(days)
    for days, start in _beginnings(policy, tier, usual):
        name = f"{prefix}{len(lists)}"
        lists[name] = [start]
        cases.append(f"startsWith(tenant, {{{name}:Array(String)}}[1]), {days}")
        seen.add(days)
    text = f"multiIf({', '.join(cases)}, {usual})" if cases else str(usual)
    return _Days(text, lists, max(seen) >= FOREVER)


def _named(policy: Policy, tier: Tier) -> Iterator[tuple[int, list[str]]]:
    """Yield (days, tenants) where a name makes a difference, in one order for one policy."""
    by_days: dict[int, list[str]] = {}
    for tenant in sorted(policy.tenants):
        days = policy.of(tenant).days(tier)
        if not tenant.endswith("*") and days != policy.by_beginning(tenant).days(tier):
            by_days.setdefault(days, []).append(tenant)
    yield from sorted(by_days.items())


def _beginnings(policy: Policy, tier: Tier, usual: int) -> Iterator[tuple[int, str]]:
    """Yield (days, beginning), the longest first; nothing if none makes a difference."""
    found = [(policy.classes[policy.tenants[f"{start}*"]].days(tier), start) for start in policy.beginnings()]
    if any(days != usual for days, _ in found):
        yield from found
