"""Classic histograms out of a vector of bucket series: groups of equal bounds as one block of counts.

Of a histogram of B buckets over T steps a block has G: counts [G, B, T]. A bucket may be absent at some steps.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from promql.annotations import Annotations
from promql.columns import NAME, Floats, Labels, Mask
from promql.result import Vector
from promql.series import Signature, prune, signature

BUCKET = "le"
_NUMBER = re.compile(r"[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|inf|infinity)", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Buckets:
    """labels, metrics: of each group, le left out. bounds: [B], rising. counts (cumulative), present: [G, B, T]."""

    labels: list[Labels]
    metrics: list[str]
    bounds: list[float]
    counts: Floats
    present: Mask

    @property
    def complete(self) -> Mask:
        """Where the highest bucket is +Inf and so holds all observations, [G, T]."""
        return self.present[:, -1] & (self.bounds[-1] == np.inf)


def buckets_of(vector: Vector, notes: Annotations) -> Iterator[Buckets]:
    """Yield the histograms of a vector; series without a readable le are left out, with a warning."""
    vector = prune(vector)
    groups: dict[Signature, list[tuple[float, int]]] = {}
    for row, labels in enumerate(vector.labels):
        text = labels.get(BUCKET, "")
        if not _NUMBER.fullmatch(text):
            notes.bucket(labels.get(NAME, ""), text)
            continue
        key = signature({name: value for name, value in labels.items() if name != BUCKET})
        groups.setdefault(key, []).append((float(text), row))
    layouts: dict[tuple[float, ...], list[Signature]] = {}
    for key, found in groups.items():
        layouts.setdefault(tuple(sorted({bound for bound, _ in found})), []).append(key)
    for bounds, keys in layouts.items():
        yield _block(vector, list(bounds), keys, [groups[key] for key in keys])


def _block(
    vector: Vector, bounds: list[float], keys: list[Signature], members: list[list[tuple[float, int]]]
) -> Buckets:
    places = {bound: place for place, bound in enumerate(bounds)}
    cells = np.array(
        [(group, places[bound], row) for group, found in enumerate(members) for bound, row in found], np.int64
    )
    shape = (len(keys), len(bounds), vector.values.shape[1])
    counts, present = np.zeros(shape), np.zeros(shape, np.bool_)
    group, place, rows = cells.T
    there = vector.present[rows]
    # Bounds written in two ways, 1 and 1.0, are one bucket with the sum of both.
    np.add.at(counts, (group, place), np.where(there, vector.values[rows], 0.0))
    np.logical_or.at(present, (group, place), there)
    labels = [dict(key) for key in keys]
    return Buckets(labels, [one.get(NAME, "") for one in labels], bounds, counts, present)
