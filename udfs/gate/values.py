"""Which label values of a tenant's metrics count, and in which epoch each was last seen. Held by their hashes."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xxhash

from udfs.gate.members import rebased

Pair = tuple[str, str]
Held = dict[Pair, dict[int, int]]


@dataclass(slots=True)
class Values:
    """By metric and label: the epoch of each value's hash (XXH3, 64 bit)."""

    _held: Held = field(default_factory=dict)
    _changed: Held = field(default_factory=dict)

    def has(self, metric: str, label: str, value: str) -> bool:
        """Tell whether the value counts."""
        return self.seen(metric, label, value) is not None

    def seen(self, metric: str, label: str, value: str) -> int | None:
        """Return the epoch in which the value was last seen, None if it does not count."""
        return self._held.get((metric, label), {}).get(_hash(value))

    def count(self, metric: str, label: str) -> int:
        """Return how many values of one label count."""
        return len(self._held.get((metric, label), ()))

    def counts(self) -> Iterator[tuple[Pair, int]]:
        """Yield (metric, label) and how many values count."""
        return ((pair, len(held)) for pair, held in self._held.items())

    def see(self, metric: str, label: str, value: str, epoch: int) -> None:
        """Let a value count as of an epoch."""
        key, mark = (metric, label), _hash(value)
        held = self._held.setdefault(key, {})
        if held.get(mark) != epoch:
            held[mark] = epoch
            self._changed.setdefault(key, {})[mark] = epoch

    def expire(self, oldest: int) -> None:
        """Forget what was last seen before an epoch."""
        kept = {key: {mark: one for mark, one in held.items() if one >= oldest} for key, held in self._held.items()}
        self._held = {key: held for key, held in kept.items() if held}

    def rebase(self, old_ms: int, new_ms: int, latest: int) -> None:
        """Translate epochs into those of another length."""
        for key, held in self._held.items():
            epochs = rebased(np.fromiter(held.values(), np.int64, len(held)), old_ms, new_ms, latest)
            self._held[key] = dict(zip(held, epochs.tolist(), strict=True))

    @property
    def changed(self) -> bool:
        """Tell whether changes() has anything."""
        return bool(self._changed)

    def changes(self) -> list[dict[str, Any]]:
        """Return what was seen since the last call, as records of schema budget."""
        changed, self._changed = self._changed, {}
        return _records(changed)

    def snapshot(self) -> list[dict[str, Any]]:
        """Return everything, in place of all changes before."""
        self._changed = {}
        return _records(self._held)

    def put(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Take what such records hold: how state is read back."""
        for one in records:
            marks = np.frombuffer(one["hashes"], "<u8").tolist()
            epochs = np.frombuffer(one["epochs"], "<i8").tolist()
            self._held.setdefault((one["metric"], one["label"]), {}).update(zip(marks, epochs, strict=True))


def _records(values: Held) -> list[dict[str, Any]]:
    return [
        {
            "metric": metric,
            "label": label,
            "hashes": np.fromiter(held, "<u8", len(held)).tobytes(),
            "epochs": np.fromiter(held.values(), "<i8", len(held)).tobytes(),
        }
        for (metric, label), held in values.items()
    ]


def _hash(value: str) -> int:
    return xxhash.xxh3_64_intdigest(value.encode())
