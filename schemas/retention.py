"""How long each tier is kept, per class of tenants: the policy file. Pure. schemas/ttl.py makes the TTLs of it."""

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    WrapValidator,
    model_validator,
)

from schemas import faults, strict
from schemas.tenant import TENANT_NAME
from schemas.text import text_of

Tier = Literal["raw", "1m", "5m", "1h", "1d"]
TIERS: tuple[Tier, ...] = get_args(Tier)
# ClickHouse's DateTime ends in 2106 and wraps: a limit beyond it would delete what it should keep.
MOST_DAYS = 20_000
MOST_BYTES = 1 << 20
SETTING = "TIDEGAUGE_RETENTION"
DAY_S = 86_400

# Days of what is kept for ever: longer than every number that the file may hold.
FOREVER = 1_000_000

_TENANT = re.compile(rf"{TENANT_NAME}\*?")


class RetentionError(ValueError):
    """A policy that cannot be applied; the message has a line a fault, each starts with a TG-retention- id."""


def _days(value: Any, checked: Callable[[Any], int]) -> int:
    if value == "forever":
        return FOREVER
    # YAML's yes and 1.5 would pass as 1.
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{repr(value)[:80]} is no whole number of days, nor forever")
    return checked(value)


def _tenant(name: str) -> str:
    if not _TENANT.fullmatch(name):
        raise ValueError(
            f"TG-retention-tenant: {name[:80]!r} is no tenant; 1 to 64 of the characters A-Z a-z 0-9 _ . -, "
            "then * for all that begin so"
        )
    return name


def _known(name: str, info: ValidationInfo) -> str:
    classes = info.data.get("classes")
    if classes is not None and name not in classes:
        there = ", ".join(sorted(classes))
        raise ValueError(f"TG-retention-class: {name[:80]!r} is no class; there are: {there}")
    return name


Days = Annotated[int, Field(ge=1, le=MOST_DAYS), WrapValidator(_days)]
Tenant = Annotated[str, AfterValidator(_tenant)]
ClassName = Annotated[str, AfterValidator(_known)]
"""One of `classes`, a field that stands before; where that is wrong itself, any."""


def shown(days: int) -> str:
    """Return days as the file has them."""
    return "forever" if days >= FOREVER else str(days)


class Class(BaseModel):
    """Days per tier, or `forever`. Coarser tiers are kept at least as long, or old questions would find holes."""

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
        shorter = [
            f"{coarse} of {shown(self.days(coarse))} days is shorter than {fine} of {shown(self.days(fine))}"
            for fine, coarse in pairwise(TIERS)
            if self.days(coarse) < self.days(fine)
        ]
        if shorter:
            raise ValueError(f"TG-retention-order: {', '.join(shorter)}; a coarser tier is kept at least as long")
        return self


class Policy(BaseModel):
    """The policy file; every key has a default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    classes: dict[str, Class] = Field(default_factory=lambda: {"standard": Class.model_validate({})})
    default: ClassName = Field(
        "standard", validate_default=True, description="Class of the tenants that are not named."
    )
    tenants: dict[Tenant, ClassName] = Field(
        default_factory=dict, description="Tenant, or the beginning of its name and *, to class."
    )
    rejections: Days = Field(7, description="What the gate refused, of all tenants. Default: 7 days.")
    ledger: Days = Field(7, description="What became of every sample, of all tenants. Default: 7 days.")
    cardinality: Days = Field(30, description="Metrics that grew, of all tenants. Default: 30 days.")
    alert_events: Days = Field(90, description="Transitions of alerts, of all tenants. Default: 90 days.")

    def of(self, tenant: str) -> Class:
        """Return the class of a tenant: by its name, else by the longest beginning that fits, else the default."""
        if "*" not in tenant and tenant in self.tenants:
            return self.classes[self.tenants[tenant]]
        return self.by_beginning(tenant)

    def by_beginning(self, tenant: str) -> Class:
        """Return the class that a tenant has, or would have if its name did not stand in the file."""
        for start in self.beginnings():
            if tenant.startswith(start):
                return self.classes[self.tenants[f"{start}*"]]
        return self.classes[self.default]

    def beginnings(self) -> list[str]:
        """Return what stands before the * of tenants, the longest first."""
        found = [tenant.removesuffix("*") for tenant in self.tenants if tenant.endswith("*")]
        return sorted(found, key=lambda start: (-len(start), start))

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
        read = strict.load(text)
    except strict.YamlFault as fault:
        raise RetentionError(f"TG-retention-yaml: {name}: {fault} ({SETTING})") from None
    try:
        return Policy.model_validate({} if read is None else read)
    except ValidationError as error:
        wrong = faults.lines(error, Policy, "TG-retention-value", name)
        raise RetentionError("\n".join(f"{one} ({SETTING})" for one in wrong)) from None


def load(path: Path) -> Policy:
    """Return the policy of a file; raises RetentionError."""
    try:
        return parse(text_of(path, MOST_BYTES), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise RetentionError(f"TG-retention-file: {path}: {error} ({SETTING})") from None
