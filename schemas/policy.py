"""Policies of tenants: what a tenant may send. The YAML file, and the JSON value on control.policies.

Key `tenant` (`*`: every tenant without one of its own), value JSON; a null value takes the policy out of force.
"""

import fnmatch
import json
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Literal

import xxhash
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    StrictFloat,
    StrictInt,
    ValidationError,
    field_validator,
)

from schemas import faults, strict
from schemas.tenant import TENANT_NAME

MAX_BYTES = 256 << 10
ANYONE = "*"
OVERFLOW = "__overflow__"
# Up to here every count is exact; limits end where exactness does.
MOST_SERIES = 2_000_000
MOST_VALUES = 100_000
EPOCHS = 12

_TENANT = re.compile(rf"{TENANT_NAME}|\*")
# Numbers are strict, one by one: YAML's yes would pass as 1.
_STRICT = ConfigDict(extra="forbid", frozen=True)


class PolicyFault(ValueError):
    """A policy that is refused; the message has a line a fault, each starts with a TG-policy- id."""


class Metric(BaseModel):
    """Limits of the metrics that a pattern names."""

    model_config = _STRICT

    name: str = Field(
        min_length=1, description="Metric name; * and ? stand for any characters. The first match counts."
    )
    allowed_labels: tuple[str, ...] | None = Field(
        None, description="Labels that stay; others are stripped and the series of a batch merge. Default: all."
    )
    max_series: StrictInt | None = Field(
        None, ge=1, le=MOST_SERIES, description="Most series of each metric in the window. Default: no limit."
    )
    per_label_value_limits: dict[str, StrictInt] = Field(
        default_factory=dict, description="Label to the most values of it per metric in the window."
    )
    action: Literal["reject", "fold"] | None = Field(None, description="Instead of the tenant's action.")

    @field_validator("per_label_value_limits")
    @classmethod
    def _values(cls, limits: dict[str, int]) -> dict[str, int]:
        for label, limit in limits.items():
            if not 1 <= limit <= MOST_VALUES:
                raise ValueError(f"{label}: {limit} is not from 1 to {MOST_VALUES}")
        return limits


ANY_METRIC = Metric(name="*")


class Policy(BaseModel):
    """What one tenant may send. Limits count what was seen within the window; a refused sample counts for nothing."""

    model_config = _STRICT

    tenant: str = Field(description="Tenant, or * for every tenant without a policy of its own.")
    max_series: StrictInt | None = Field(
        None,
        ge=1,
        le=MOST_SERIES,
        description="Most series of all metrics in the window, instead of TIDEGAUGE_GATE_MAX_SERIES.",
    )
    window: Literal["1m", "1h", "1d"] = Field(
        "1h", description="How long a series counts after its last sample, to within a twelfth. 1m is for trials."
    )
    action: Literal["reject", "fold"] = Field(
        "reject", description="What happens to a series over a metric's limit: refused, or its label folded."
    )
    dry_run: bool = Field(False, description="Forward everything, and count in the ledger what would not have been.")
    metrics: tuple[Metric, ...] = Field((), description="Limits per metric.")
    samples_per_second: StrictFloat | None = Field(
        None, gt=0, allow_inf_nan=False, description="Rate of the tenant. Default: no limit."
    )
    samples_burst: StrictFloat | None = Field(
        None, gt=0, allow_inf_nan=False, description="Samples at once. Default: ten seconds of the rate."
    )
    source_samples_per_second: StrictFloat | None = Field(
        None, gt=0, allow_inf_nan=False, description="Rate of each source. Default: no limit."
    )
    source_samples_burst: StrictFloat | None = Field(
        None, gt=0, allow_inf_nan=False, description="Likewise for each source."
    )
    priority: Literal["high", "normal", "low"] = Field(
        "normal", description="When the gate lags, low is shed first, then normal, high never."
    )
    clock: Literal["keep", "server"] = Field(
        "keep", description="server: timestamps of a source whose clock is a minute off are moved by what it is off."
    )
    future_grace_s: StrictInt | None = Field(
        None, ge=0, le=86_400, description="Instead of TIDEGAUGE_GATE_FUTURE_GRACE_S, if less."
    )
    tolerance_s: StrictInt | None = Field(
        None, ge=60, le=86_400, description="Instead of TIDEGAUGE_GATE_TOLERANCE_S, if less."
    )
    max_labels: StrictInt | None = Field(None, ge=1, le=1000, description="Instead of TIDEGAUGE_GATE_MAX_LABELS.")
    utf8: bool = Field(False, description="Accept any UTF-8 in metric and label names, as Prometheus 3 can.")

    _setting: int = PrivateAttr(1_000_000)  # what TIDEGAUGE_GATE_MAX_SERIES is where it holds; no part of what is kept

    @field_validator("tenant")
    @classmethod
    def _tenant(cls, tenant: str) -> str:
        if not _TENANT.fullmatch(tenant):
            raise ValueError(f"{tenant[:80]!r} is no tenant; 1 to 64 of A-Z a-z 0-9 _ . -, or *")
        return tenant

    def under(self, setting: int) -> "Policy":
        """Return the policy as it holds where TIDEGAUGE_GATE_MAX_SERIES is so much."""
        made = self.model_copy()
        made._setting = setting
        for reckoned in ("revision", "most_series"):  # a copy has them from before
            made.__dict__.pop(reckoned, None)
        return made

    @cached_property
    def most_series(self) -> int:
        """Return the most series of all metrics in the window."""
        return self._setting if self.max_series is None else self.max_series

    @cached_property
    def window_ms(self) -> int:
        """Return the activity window, ms."""
        return {"1m": 60_000, "1h": 3_600_000, "1d": 86_400_000}[self.window]

    @cached_property
    def epoch_ms(self) -> int:
        """Return the step in which the window slides, ms."""
        return self.window_ms // EPOCHS

    @cached_property
    def revision(self) -> int:
        """Return a 63-bit hash of all that can change a decision."""
        return xxhash.xxh3_64_intdigest(self.encode() + str(self.most_series).encode()) >> 1

    @cached_property
    def _compiled(self) -> tuple[tuple[re.Pattern[str], Metric], ...]:
        return tuple((re.compile(fnmatch.translate(one.name)), one) for one in self.metrics)

    def metric(self, name: str) -> Metric:
        """Return the limits of a metric."""
        return next((one for pattern, one in self._compiled if pattern.match(name)), ANY_METRIC)

    @cached_property
    def strips(self) -> bool:
        """Tell whether labels of some metric are stripped."""
        return any(one.allowed_labels is not None for one in self.metrics)

    @cached_property
    def merges(self) -> bool:
        """Tell whether two series of one batch may become one."""
        return self.strips or any((one.action or self.action) == "fold" for one in self.metrics)

    def encode(self) -> bytes:
        """Return the JSON value for control.policies."""
        return json.dumps(self.model_dump(exclude_defaults=True), sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, data: bytes) -> "Policy":
        """Return the policy of a JSON value; raises PolicyFault."""
        if len(data) > MAX_BYTES:
            raise PolicyFault(f"TG-policy-size: {len(data)} bytes; a policy has at most {MAX_BYTES}")
        try:
            return cls.model_validate(json.loads(data))
        except ValidationError as error:
            raise PolicyFault("; ".join(faults.lines(error, cls, "TG-policy-field", "value"))) from None
        except (ValueError, RecursionError) as error:
            raise PolicyFault(f"TG-policy-json: value: not JSON: {error}"[:400]) from None


def parse(text: str, name: str) -> list[Policy]:
    """Return the policies of a YAML file, `policies:` and a list; name stands in messages. Raises PolicyFault."""
    if len(text.encode()) > MAX_BYTES:
        raise PolicyFault(f"TG-policy-size: {name} is larger than {MAX_BYTES} bytes")
    try:
        read = strict.load(text)
    except strict.YamlFault as fault:
        raise PolicyFault(f"TG-policy-yaml: {name}: {fault}") from None
    if not isinstance(read, Mapping) or set(read) != {"policies"} or not isinstance(read["policies"], list):
        raise PolicyFault(f"TG-policy-file: {name}: a policy file has one key, policies, which holds a list")
    found: dict[str, Policy] = {}
    wrong: list[str] = []
    for number, entry in enumerate(read["policies"]):
        place = f"{name}: policies[{number}]"
        try:
            policy = Policy.model_validate(entry)
        except ValidationError as error:
            wrong += faults.lines(error, Policy, "TG-policy-field", place)
            continue
        if policy.tenant in found:
            wrong.append(f"TG-policy-twice: {place}: tenant {policy.tenant!r} is given twice")
        found[policy.tenant] = policy
    if wrong:
        raise PolicyFault("\n".join(wrong))
    return list(found.values())
