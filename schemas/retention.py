"""How long each tier is kept, per class of tenants: the policy file, and the TTL expression of every table. Pure.

A row goes at the end of the partition's day, week or month that it lies in, plus the days of its class: all rows of a
partition and class expire at one moment, and ClickHouse drops whole parts or rewrites a mixed one once per class.
Without the rounding a part would be rewritten every merge_with_ttl_timeout (4 h) for as long as it expires.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

Tier = Literal["raw", "1m", "5m", "1h", "1d"]
TIERS: tuple[Tier, ...] = get_args(Tier)
# ClickHouse's DateTime ends in 2106 and wraps: a limit beyond it would delete what it should keep.
MOST_DAYS = 20_000
MOST_BYTES = 1 << 20
SETTING = "TIDEGAUGE_RETENTION"
DAY_S = 86_400

_TENANT = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class RetentionError(ValueError):
    """A policy that cannot be applied; the message starts with a TG-retention- id."""


def _whole(value: Any) -> Any:
    # YAML's yes and 1.5 would pass as 1.
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{value!r} is no whole number of days")
    return value


Days = Annotated[int, BeforeValidator(_whole), Field(ge=1, le=MOST_DAYS)]


class Class(BaseModel):
    """Days per tier. A coarser tier is kept at least as long as a finer one, or old questions would find holes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    raw: Days = Field(
        2, description="Samples and distributions as they came, and the arrivals of late ones. Default: 2 days."
    )
    minute: Days = Field(14, alias="1m", description="Rollups of a minute. Default: 14 days.")
    five_minutes: Days = Field(30, alias="5m", description="Rollups of five minutes. Default: 30 days.")
    hour: Days = Field(90, alias="1h", description="Rollups of an hour. Default: 90 days.")
    day: Days = Field(730, alias="1d", description="Rollups of a day. Default: 730 days.")

    def days(self, tier: Tier) -> int:
        """Return how long a tier is kept, days."""
        return dict(zip(TIERS, (self.raw, self.minute, self.five_minutes, self.hour, self.day), strict=True))[tier]

    @model_validator(mode="after")
    def _coarser_is_longer(self) -> "Class":
        for fine, coarse in pairwise(TIERS):
            if self.days(coarse) < self.days(fine):
                raise ValueError(
                    f"TG-retention-order: {coarse} of {self.days(coarse)} days is shorter than {fine} of "
                    f"{self.days(fine)}; a coarser tier is kept at least as long"
                )
        return self


class Policy(BaseModel):
    """The policy file; every key has a default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    default: str = Field("standard", description="Class of the tenants that are not named.")
    classes: dict[str, Class] = Field(default_factory=lambda: {"standard": Class.model_validate({})})
    tenants: dict[str, str] = Field(default_factory=dict, description="Tenant to class.")
    rejections: Days = Field(7, description="What the gate refused, of all tenants. Default: 7 days.")
    ledger: Days = Field(7, description="What became of every sample, of all tenants. Default: 7 days.")
    cardinality: Days = Field(30, description="Metrics that grew, of all tenants. Default: 30 days.")
    alert_events: Days = Field(90, description="Transitions of alerts, of all tenants. Default: 90 days.")

    @model_validator(mode="after")
    def _names(self) -> "Policy":
        for tenant in self.tenants:
            if not _TENANT.fullmatch(tenant):
                raise ValueError(
                    f"TG-retention-tenant: {tenant[:80]!r} is no tenant; 1 to 64 of the characters A-Z a-z 0-9 _ . -"
                )
        for setting, name in (("default", self.default), *((f"tenants.{t}", c) for t, c in self.tenants.items())):
            if name not in self.classes:
                known = ", ".join(sorted(self.classes))
                raise ValueError(f"TG-retention-class: {setting} is {name!r}; there are: {known}")
        return self

    def of(self, tenant: str) -> Class:
        """Return the class of a tenant."""
        return self.classes[self.tenants.get(tenant, self.default)]

    def check_tolerance(self, tolerance_s: int) -> None:
        """Raise RetentionError if the gate lets samples in that are older than the shortest raw retention."""
        name, shortest = min(self.classes.items(), key=lambda one: one[1].raw)
        if tolerance_s >= shortest.raw * DAY_S:
            raise RetentionError(
                f"TG-retention-tolerance: the gate accepts samples {tolerance_s} s late, "
                f"classes.{name}.raw keeps {shortest.raw} d = {shortest.raw * DAY_S} s; "
                f"lower TIDEGAUGE_GATE_TOLERANCE_S or raise it ({SETTING})"
            )


def parse(text: str, name: str) -> Policy:
    """Return the policy of a YAML text; name stands in messages. Raises RetentionError."""
    if len(text.encode()) > MOST_BYTES:
        raise RetentionError(f"TG-retention-size: {name} is larger than {MOST_BYTES} bytes ({SETTING})")
    try:
        read = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RetentionError(f"TG-retention-yaml: {name}: {' '.join(str(error).split())} ({SETTING})") from None
    try:
        return Policy.model_validate({} if read is None else read)
    except ValidationError as error:
        first = error.errors()[0]
        where, message = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
        identity, found, rest = message.partition(": ")
        if not (found and identity.startswith("TG-retention-")):
            identity, rest = "TG-retention-value", f"{message}, not {str(first['input'])[:80]!r}"
        raise RetentionError(f"{identity}: {name}{f': {where}' if where else ''}: {rest} ({SETTING})") from None


def load(path: Path) -> Policy:
    """Return the policy of a file; raises RetentionError."""
    try:
        return parse(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise RetentionError(f"TG-retention-file: {path}: {error} ({SETTING})") from None


@dataclass(frozen=True, slots=True)
class Ttl:
    """A table's TTL expression; tenants fill its {name:Array(String)}."""

    expression: str
    tenants: dict[str, list[str]] = field(default_factory=dict)


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
        days, tenants = _days(policy, tier, "c")
        found[table] = Ttl(f"{end.format(column=column)} + toIntervalDay({days})", tenants)
    found["completeness"] = _completeness(policy)
    for table, column, kept in (
        ("rejections", "received_at", policy.rejections),
        ("ledger", "minute", policy.ledger),
        ("cardinality", "hour", policy.cardinality),
        ("alert_events", "evaluated_at", policy.alert_events),
    ):
        found[table] = Ttl(f"{_DAY.format(column=column)} + toIntervalDay({kept})")
    return found


def _completeness(policy: Policy) -> Ttl:
    tenants: dict[str, list[str]] = {}
    cases = []
    for tier in TIERS[1:]:
        days, named = _days(policy, tier, f"t{tier}_")
        tenants |= named
        cases.append(days if tier == TIERS[-1] else f"tier = '{tier}', {days}")
    return Ttl(f"{_DAY.format(column='ts')} + toIntervalDay(multiIf({', '.join(cases)}))", tenants)


def _days(policy: Policy, tier: Tier, prefix: str) -> tuple[str, dict[str, list[str]]]:
    """Return the days of a row as an expression over its tenant, and the lists that it needs."""
    usual = policy.classes[policy.default].days(tier)
    others = list(_groups(policy, tier, usual))
    if not others:
        return str(usual), {}
    named = {f"{prefix}{number}": tenants for number, (_, tenants) in enumerate(others)}
    cases = [f"has({{{name}:Array(String)}}, tenant), {days}" for name, (days, _) in zip(named, others, strict=True)]
    return f"multiIf({', '.join(cases)}, {usual})", named


def _groups(policy: Policy, tier: Tier, usual: int) -> Iterator[tuple[int, list[str]]]:
    """Yield (days, tenants) where the days are not the usual ones, in one order for one policy."""
    by_days: dict[int, list[str]] = {}
    for tenant in sorted(policy.tenants):
        by_days.setdefault(policy.of(tenant).days(tier), []).append(tenant)
    yield from sorted((days, tenants) for days, tenants in by_days.items() if days != usual)
