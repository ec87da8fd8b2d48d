"""A store in memory, with data versions as the writers raise them: for tests of the API and of the cache."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from math import isnan

import numpy as np

from promql.columns import NAME, Labels, Selector
from promql.match import matches
from promql.memory import MemoryRows, MemorySource
from promql.plan import Select
from promql.series import Signature, signature
from query.blocks import HOUR_MS
from query.completeness import Completeness
from query.store import Alert, Cardinality, Versions, Written
from query.view import EVERYTHING, View
from schemas.tiers import MINUTE, Tier


class MemoryStore:
    """Samples by tenant, series and time. fresh_tail_ms: writes younger than it raise no version.

    late_after_ms: samples that arrive later keep their arrival. complete: what the stream would say, active: what the
    alert job would, by tenant. applied: its rules, (id, JSON). types: of metrics, by tenant and name.
    """

    def __init__(self, fresh_tail_ms: int = 300_000, late_after_ms: int = 30_000) -> None:
        self._samples: dict[str, dict[Signature, dict[int, float]]] = {}
        self._versions: dict[tuple[str, str, int], int] = {}
        self._fresh_tail_ms = fresh_tail_ms
        self._late_after_ms = late_after_ms
        self._arrived: dict[tuple[str, Signature, int], int] = {}
        self.complete: dict[str, Completeness] = {}
        self.active: dict[str, list[Alert]] = {}
        self.applied: dict[str, list[tuple[str, str]]] = {}
        self.types: dict[tuple[str, str], str] = {}
        self.reads = 0
        self.writes = 0

    def write(self, tenant: str, labels: Labels, samples: Sequence[tuple[int, float]], now_ms: int) -> None:
        """Store samples (ms, value) of one series as if at now_ms."""
        self.writes += 1
        held = self._samples.setdefault(tenant, {}).setdefault(signature(labels), {})
        for at, value in samples:
            held[at] = value
            if at < now_ms - self._late_after_ms:
                key = (tenant, signature(labels), at)
                self._arrived[key] = min(now_ms, self._arrived.get(key, now_ms))
            if at < now_ms - self._fresh_tail_ms:
                hour = (tenant, labels[NAME], at // HOUR_MS)
                self._versions[hour] = self._versions.get(hour, 0) + 1

    def reroll(self, tenant: str, metric: str, at_ms: int) -> None:
        """Raise the version of an hour, as a correction of its rollups does."""
        self.writes += 1
        hour = (tenant, metric, at_ms // HOUR_MS)
        self._versions[hour] = self._versions.get(hour, 0) + 1

    def source(self, tenant: str, steps: int, view: View = EVERYTHING) -> MemorySource:
        """Return the source of a tenant's samples."""
        self.reads += 1
        return MemorySource(
            (dict(key), np.array(known, np.int64), np.array([held[at] for at in known], np.float64))
            for key, held in self._samples.get(tenant, {}).items()
            for known in [sorted(at for at in held if self._known((tenant, key, at), view.as_of_ms))]
        )

    def _known(self, sample: tuple[str, Signature, int], as_of_ms: int | None) -> bool:
        return as_of_ms is None or max(sample[2], self._arrived.get(sample, sample[2])) <= as_of_ms

    def grids(self, tenant: str, view: View = EVERYTHING) -> None:
        """Return nothing: memory only holds samples."""

    def rolled(self, tenant: str, steps: int, tier: Tier) -> MemoryRows:
        """Return the rows of a tier."""
        self.reads += 1
        held = self._samples.get(tenant, {}).items()
        numbers = (
            (dict(key), [(at, value) for at, value in sorted(one.items()) if not isnan(value)]) for key, one in held
        )
        return MemoryRows(numbers, tier.width_ms)

    def completeness(
        self, tenant: str, now_ms: int, tier: Tier = MINUTE, written: Written | None = None
    ) -> Completeness | None:
        """Return what was put into `complete`: for minutes, and for the whole windows of a coarser tier before it."""
        said = self.complete.get(tenant)
        return said if said is None else replace(said, until_ms=said.until_ms - said.until_ms % tier.width_ms)

    def written(self) -> Written | None:
        """Return one number for all tables."""
        return {"samples": self.writes}

    def versions(
        self, tenant: str, metrics: Sequence[str], start_ms: int, end_ms: int, written: Written | None = None
    ) -> Versions:
        """Return the data versions of metrics, for the hours from start to end."""
        found: Versions = {}
        for (owner, metric, hour), version in sorted(self._versions.items()):
            if owner == tenant and metric in metrics and start_ms // HOUR_MS <= hour <= end_ms // HOUR_MS:
                found.setdefault(metric, []).append((hour * 3600, "data", version))
        return found

    def label_sets(
        self, tenant: str, select: Select | None, start_ms: int, end_ms: int, limit: int = 100_000
    ) -> list[Labels]:
        """Return the label sets of a selector."""
        selector = Selector("", (), 0, 0) if select is None else Selector(select.metric, select.matchers, 0, 0)
        return [
            dict(labels)
            for labels, held in self._samples.get(tenant, {}).items()
            if matches(selector, dict(labels)) and any(start_ms <= at <= end_ms for at in held)
        ][: limit + 1]

    def label_names(self, tenant: str, select: Select | None, start_ms: int, end_ms: int, limit: int) -> set[str]:
        """Return label names, of all series if select is None."""
        found = {name for labels in self.label_sets(tenant, select, start_ms, end_ms) for name in labels}
        return set(sorted(found)[: limit + 1])

    def label_values(
        self, tenant: str, label: str, select: Select | None, start_ms: int, end_ms: int, limit: int
    ) -> set[str]:
        """Return a label's values, of all series if select is None."""
        found = self.label_sets(tenant, select, start_ms, end_ms)
        return set(sorted({labels[label] for labels in found if label in labels})[: limit + 1])

    def metadata(self, tenant: str, metric: str, limit: int) -> list[tuple[str, str, str]]:
        """Return (metric, type, unit): of what has samples, and of what was put into `types`."""
        typed = {name for owner, name in self.types if owner == tenant}
        names = sorted(typed | {dict(labels)[NAME] for labels in self._samples.get(tenant, {})})
        return [(name, self.types.get((tenant, name), ""), "") for name in names if metric in ("", name)][:limit]

    def cardinality(self, tenant: str, limit: int) -> Cardinality:
        """Return how many series, labels and pairs there are, and the largest of each."""
        held = self._samples.get(tenant, {})
        pairs = Counter(pair for labels in held for pair in labels)
        names = Counter(name for name, _ in pairs)
        tops = {
            "seriesCountByMetricName": Counter(dict(labels)[NAME] for labels in held),
            "labelValueCountByLabelName": names,
            "memoryInBytesByLabelName": Counter(
                {name: sum(len(value.encode()) for one, value in pairs if one == name) for name in names}
            ),
            "seriesCountByLabelValuePair": Counter(
                {f"{name}={value}": count for (name, value), count in pairs.items()}
            ),
        }
        times = [at for one in held.values() for at in one] or [0]
        ranked = {what: sorted(top.items(), key=lambda one: (-one[1], one[0]))[:limit] for what, top in tops.items()}
        return Cardinality(len(held), len(pairs), min(times), max(times), ranked)

    def alerts(self, tenant: str, limit: int) -> list[Alert]:
        """Return what was put into `active`."""
        return self.active.get(tenant, [])[: limit + 1]

    def rules(self, tenant: str, limit: int) -> list[tuple[str, str]]:
        """Return what was put into `applied`."""
        return self.applied.get(tenant, [])[: limit + 1]

    def ready(self) -> None:
        """Memory always answers."""
