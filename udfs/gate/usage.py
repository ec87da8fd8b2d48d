"""What limits tenants have and how much of them they use, as series of the operator's tenant (docs/gate.md).

Subtasks of the gate count and tell the owner by metrics.pending; the owner knows the budget, adds up and writes the
series to metrics.raw, where they enter like anybody's. Nothing here decides. Counts begin anew at a restart, as
counters do; the ledger has the exact ones.
"""

import heapq
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from cachetools import LRUCache

from schemas.batch import Batch, Series, encode_series_set
from schemas.codec import codec
from schemas.policy import Policy
from schemas.reason import Reason
from schemas.topics import GATE_SOURCE
from udfs.gate.account import Account
from udfs.gate.budget import Budget
from udfs.gate.gate import Outcome, Refused, Unknown

TALLY_MS = 5000
TELL_MS = 15_000
# Bounds: tenants that one subtask counts or tells of, and metrics and labels with limits that are told of each.
TENANTS = 500
WORST = 10

Told = list[tuple[Series, float]]

_PREFIX = "tidegauge_gate_"
_OVER_RATE = (Reason.RATE.id, Reason.SOURCE_RATE.id)
_IDS = {reason.id for reason in Reason}


def counter_of(name: str) -> str:
    """Return the Flink counter of samples by what became of them: an outcome or a refusal's id."""
    return f"rejected_{name.replace('-', '_')}" if name in _IDS else f"samples_{name}"


def counted(outcome: Outcome) -> Iterator[tuple[str, int]]:
    """Yield what an outcome adds to Flink's counters."""
    if isinstance(outcome, Refused):
        yield f"refusals_{outcome.refusal.reason.id.replace('-', '_')}", 1
    elif isinstance(outcome, Account):
        yield from ((counter_of(name), samples) for name, samples in outcome.counts())
        if outcome.balance:
            yield "samples_missing", abs(outcome.balance)
    elif isinstance(outcome, Unknown):
        yield "records_pending", 1


@dataclass(slots=True)
class Tally:
    """One subtask's counts of tenants, until they are told. Times are the machine's, ms."""

    _told: int = 0
    _counts: dict[str, Counter[str]] = field(default_factory=dict)

    def add(self, tenant: str, account: Account | None = None) -> None:
        """Count a record; without account it is with the owner, who counts it."""
        counts = self._counts.get(tenant)
        if counts is None:
            if not tenant or len(self._counts) >= TENANTS:
                return
            counts = self._counts[tenant] = Counter()
        if account is not None:
            for name, samples in account.counts():
                counts[name] += samples

    def due(self, now: int) -> Iterator[tuple[str, bytes]]:
        """Yield (tenant, record for metrics.pending), all every five seconds, and at once when the clock went back."""
        if self._told <= now < self._told + TALLY_MS:
            return
        told, self._counts, self._told = self._counts, {}, now
        for tenant, counts in told.items():
            yield tenant, codec("tally").encode({"tenant": tenant, "counts": counts})


@dataclass(slots=True)
class _Used:
    """Counts of one tenant; told: when they were told last, passed: samples that rates had let pass then."""

    counts: Counter[str] = field(default_factory=Counter)
    told: int = 0
    passed: int = 0


@dataclass(slots=True)
class Use:
    """What one owner knows of its tenants' use; operator: the tenant that gets the series, if any."""

    operator: str
    _tenants: "LRUCache[str, _Used]" = field(default_factory=lambda: LRUCache(TENANTS))

    def add(self, tenant: str, counts: Mapping[str, int]) -> None:
        """Count samples by what became of them."""
        used = self._tenants.get(tenant)
        if used is None:
            used = self._tenants[tenant] = _Used()
        for name, samples in counts.items():
            used.counts[name] += samples

    def due(self, tenant: str, budget: Budget, policy: Policy, now: int) -> Told:
        """Return the tenant's series with their values, every 15 s or when now, the machine's ms, went back."""
        used = self._tenants.get(tenant)
        if used is None or used.told <= now < used.told + TELL_MS:
            return []
        return [*_of_budget(tenant, budget, policy), *_of_samples(tenant, used, policy, now)]

    def batch(self, tenant: str, told: Told, now: int) -> Batch | None:
        """Return what was told of a tenant as a batch for metrics.raw, if there is anything, and somebody gets it."""
        if not told or not self.operator:
            return None
        told = sorted(told, key=lambda one: (one[0].name, one[0].labels))
        names = encode_series_set(one for one, _ in told)
        values = np.array([[value for _, value in told]])
        return Batch(self.operator, f"{GATE_SOURCE}{tenant}", now, names, np.array([now]), values)


def gauges(told: Told) -> Iterator[tuple[str, int]]:
    """Yield what is a tenant's alone as Flink's gauges."""
    for one, value in told:
        if one.type == "gauge" and len(one.labels) == 1:
            yield one.name.removeprefix(_PREFIX), round(value)


def _pair(name: str, use: float, limit: float, **labels: str) -> Told:
    """Return the series of a use and its limit."""
    own = tuple(sorted(labels.items()))
    named = (f"{_PREFIX}{name}", f"{_PREFIX}{name}_limit")
    return [(Series(one, own, "gauge"), float(value)) for one, value in zip(named, (use, limit), strict=True)]


def _of_budget(tenant: str, budget: Budget, policy: Policy) -> Iterator[tuple[Series, float]]:
    yield from _pair("series", budget.total, policy.most_series, tenant=tenant)
    metrics, labels = [], []
    if policy.metrics:
        for metric, (own, _) in budget.counts().items():
            most = policy.metric(metric).max_series
            if most is not None:
                metrics.append((own / most, metric, own, most))
        for (metric, label), count in budget.values.counts():
            limit = policy.metric(metric).per_label_value_limits.get(label)
            if limit is not None:
                labels.append((count / limit, metric, label, count, limit))
    for _, metric, own, most in heapq.nlargest(WORST, metrics):
        yield from _pair("metric_series", own, most, tenant=tenant, metric=metric)
    for _, metric, label, count, limit in heapq.nlargest(WORST, labels):
        yield from _pair("label_values", count, limit, tenant=tenant, metric=metric, label=label)


def _of_samples(tenant: str, used: _Used, policy: Policy, now: int) -> Iterator[tuple[Series, float]]:
    counts = used.counts
    passed = counts["received"] - counts["shed"] - sum(counts[one] for one in _OVER_RATE)
    if policy.samples_per_second is not None and 0 < used.told < now:
        rate = (passed - used.passed) * 1000 / (now - used.told)
        yield from _pair("samples_per_second", rate, policy.samples_per_second, tenant=tenant)
    used.told, used.passed = now, passed
    for name, samples in counts.items():
        key, word = ("id", "rejected_samples") if name in _IDS else ("outcome", "samples")
        labels = tuple(sorted({"tenant": tenant, key: name}.items()))
        yield Series(f"{_PREFIX}{word}_total", labels, "counter"), float(samples)
