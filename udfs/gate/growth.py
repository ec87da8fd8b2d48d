"""Who makes series: per tenant, metric and hour the new ones, and the label, values and source behind them.

What comes is counted whether it is admitted or not. Counts are exact up to 512 and from there on a HyperLogLog's
(Apache DataSketches, lg k = 12: 1.6 % standard error). Whenever a metric is told it is to be saved, so that a restart
goes on from there.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import datasketches
import numpy as np
import xxhash
import yaml
from cachetools import LRUCache

from schemas.batch import Series
from schemas.codec import codec
from schemas.columns import UInt64s
from schemas.nan import Mask
from schemas.policy import Policy

EXACT = 512
HOUR_MS = 3_600_000
_EXAMPLES = 5
_LABELS = 20
_SOURCES = 16
_METRICS = 200
_WORTH_TELLING = 100
_EVERY_MS = 2000
_MINUTE_MS = 60_000


class Distinct:
    """How many different 64-bit hashes came."""

    __slots__ = ("_few", "_many")

    def __init__(self) -> None:
        self._few: set[int] = set()
        self._many: datasketches.hll_sketch | None = None

    def add(self, value: int) -> bool:
        """Take one hash; tell whether it is new, False where only a sketch could tell."""
        if value in self._few:
            return False
        if self._many is not None:
            self._many.update(value)
            return False
        self._few.add(value)
        if len(self._few) > EXACT:
            self._many = datasketches.hll_sketch(12, datasketches.HLL_8)
            for one in self._few:
                self._many.update(one)
        return True

    def dump(self) -> dict[str, bytes | None]:
        """Return what load() takes."""
        few = np.fromiter(self._few, "<u8", len(self._few)).tobytes()
        return {"few": few, "many": None if self._many is None else bytes(self._many.serialize_compact())}

    @classmethod
    def load(cls, dumped: Mapping[str, bytes | None]) -> "Distinct":
        """Return what was dumped."""
        distinct = cls()
        distinct._few = set(np.frombuffer(dumped["few"] or b"", "<u8").tolist())
        distinct._many = None if dumped["many"] is None else datasketches.hll_sketch.deserialize(dumped["many"])
        return distinct

    def __len__(self) -> int:
        return len(self._few) if self._many is None else max(len(self._few), round(self._many.get_estimate()))


@dataclass(slots=True)
class _Metric:
    """New series of one metric in one hour."""

    hour: int
    first_seen: int
    series: Distinct = field(default_factory=Distinct)
    labels: dict[str, Distinct] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)
    sources: dict[str, int] = field(default_factory=dict)
    refused: int = 0
    told: tuple[int, int] = (0, 0)  # when, how many series
    minute: tuple[int, int] = (0, 0)  # when it began, series then
    rate: float = 0.0
    last: dict[str, str] = field(default_factory=dict)  # value of each label: mostly the next one's too

    def add(self, one: Series, identity: int) -> None:
        self.series.add(identity)
        for label, value in one.labels:
            if self.last.get(label) == value:
                continue
            seen = self.labels.get(label)
            if seen is None:
                if len(self.labels) >= _LABELS:
                    continue
                seen = self.labels[label] = Distinct()
                self.examples[label] = []
            self.last[label] = value
            if seen.add(xxhash.xxh3_64_intdigest(value.encode())) and len(self.examples[label]) < _EXAMPLES:
                self.examples[label].append(value[:200])

    def count(self, source: str, series: int) -> None:
        if source in self.sources or len(self.sources) < _SOURCES:
            self.sources[source] = self.sources.get(source, 0) + series

    def dump(self, name: str) -> bytes:
        return codec("growth_state").encode(
            {
                "metric": name,
                "hour": self.hour,
                "first_seen": self.first_seen,
                "refused": self.refused,
                "rate": self.rate,
                "minute": self.minute[0],
                "minute_series": self.minute[1],
                "told": self.told[0],
                "sources": self.sources,
                "series": self.series.dump(),
                "labels": [
                    {"label": label, "values": seen.dump(), "examples": self.examples[label]}
                    for label, seen in self.labels.items()
                ],
            }
        )

    @classmethod
    def load(cls, data: bytes) -> tuple[str, "_Metric"]:
        read = codec("growth_state").decode(data)
        series = Distinct.load(read["series"])
        return read["metric"], cls(
            read["hour"],
            read["first_seen"],
            series,
            {one["label"]: Distinct.load(one["values"]) for one in read["labels"]},
            {one["label"]: one["examples"] for one in read["labels"]},
            read["sources"],
            read["refused"],
            (read["told"], len(series)),
            (read["minute"], read["minute_series"]),
            read["rate"],
        )


@dataclass(slots=True)
class Growth:
    """What grows, over all tenants of one owner. It holds 200 metrics, 1 MB each at most."""

    _metrics: "LRUCache[tuple[str, str], _Metric]" = field(default_factory=lambda: LRUCache(_METRICS))
    _unsaved: dict[tuple[str, str], _Metric] = field(default_factory=dict)

    def note(
        self,
        tenant: str,
        source: str,
        series: Sequence[Series],
        ids: UInt64s,
        refused: Mask,
        now: int,
    ) -> Iterator[bytes]:
        """Take series that were not known; yield the Growth records that are due. now: the broker's stamp, ms."""
        touched: dict[str, _Metric] = {}
        came: Counter[str] = Counter()
        for one, identity, out in zip(series, ids.tolist(), refused.tolist(), strict=True):
            name = one.name
            entry = touched.get(name)
            if entry is None:
                entry = touched[name] = self._of(tenant, name, now)
            entry.add(one, identity)
            entry.refused += out
            came[name] += 1
        for name, entry in touched.items():
            entry.count(source, came[name])
            count = len(entry.series)
            if now - entry.minute[0] >= _MINUTE_MS:
                entry.rate = (count - entry.minute[1]) * _MINUTE_MS / (now - entry.minute[0])
                entry.minute = now, count
            if count >= _WORTH_TELLING and now - entry.told[0] >= _EVERY_MS and count > entry.told[1]:
                entry.told = now, count
                self._unsaved[tenant, name] = entry
                yield self._record(tenant, name, entry, now)

    def unsaved(self) -> Iterator[tuple[str, bytes]]:
        """Yield (key, what restore() takes) of metrics that were told since the last call, for the tenant's state."""
        for (_, name), entry in self._unsaved.items():
            yield f"{entry.hour}/{name}", entry.dump(name)
        self._unsaved = {}

    def restore(self, tenant: str, data: bytes) -> None:
        """Go on from what was saved; raises CodecError."""
        name, entry = _Metric.load(data)
        held = self._metrics.get((tenant, name))
        if held is None or held.hour < entry.hour:
            self._metrics[tenant, name] = entry

    def _of(self, tenant: str, name: str, now: int) -> _Metric:
        entry = self._metrics.get((tenant, name))
        if entry is None or entry.hour < now // HOUR_MS:
            entry = self._metrics[tenant, name] = _Metric(now // HOUR_MS, now, minute=(now, 0))
        return entry

    def _record(self, tenant: str, name: str, entry: _Metric, now: int) -> bytes:
        label = max(entry.labels, key=lambda one: (len(entry.labels[one]), one), default="")
        count = len(entry.series)
        passed = max(1, now - entry.minute[0])
        return codec("growth").encode(
            {
                "tenant": tenant,
                "metric": name,
                "hour": entry.hour * HOUR_MS,
                "label": label,
                "values": len(entry.labels[label]) if label else 0,
                "examples": entry.examples.get(label, []),
                "source": max(entry.sources, key=lambda one: (entry.sources[one], one)),
                "series": count,
                "refused": entry.refused,
                "per_minute": max(entry.rate, (count - entry.minute[1]) * _MINUTE_MS / max(passed, _MINUTE_MS)),
                "first_seen": entry.first_seen,
                "last_seen": now,
                "policy": suggestion(tenant, name, label),
            }
        )


def is_over(key: str, now: int) -> bool:
    """Tell whether the hour of a saved metric is over; key: as unsaved() gives it, now: ms."""
    return int(key.partition("/")[0]) < now // HOUR_MS


def suggestion(tenant: str, metric: str, label: str) -> str:
    """Return a policy file that folds the label's values beyond the first hundred; of a metric without, its series."""
    limit = {"per_label_value_limits": {label: 100}} if label else {"max_series": 100}
    pattern = "".join(f"[{one}]" if one in "*?[" else one for one in metric)
    policy = {"tenant": tenant, "metrics": [{"name": pattern, **limit, "action": "fold"}]}
    Policy.model_validate(policy)
    return yaml.safe_dump({"policies": [policy]}, sort_keys=False, default_flow_style=None)
