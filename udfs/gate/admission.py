"""Admission of a series set: which series enter, under which ids, in which shards.

Decoding, checking and splitting a set costs microseconds a series, so the result is kept by (tenant, hash of the set)
and an unchanged set passes by one look-up.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from cachetools import LRUCache

from schemas.batch import Series, UInt64s, decode_series_set, encode_series_set
from schemas.ids import series_id, set_hash
from schemas.reason import Reason
from udfs.gate.limits import Limits
from udfs.gate.refusal import Refusal
from udfs.gate.series import check

Positions = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Part:
    """The series of one shard: their positions in the incoming set, the sanitised set, the ids.

    Distributions and all other types stand in parts of their own, so that behind the gate a batch is one or the other.
    """

    shard: int
    distributions: bool
    columns: Positions
    series_set: bytes
    series_ids: UInt64s


@dataclass(frozen=True, slots=True)
class Admission:
    """What became of a set of `width` series. refused holds one refusal a reason, with the positions it covers."""

    width: int
    parts: tuple[Part, ...]
    refused: tuple[tuple[Refusal, Positions], ...]


def admit(tenant: str, series_set: bytes, shards: int, limits: Limits) -> Admission:
    """Decode and judge a set; raises CodecError if it cannot be decoded."""
    rows = decode_series_set(series_set)
    ids: dict[int, int] = {}
    refused: dict[Reason, tuple[Refusal, list[int]]] = {}
    for position, one in enumerate(rows):
        refusal = check(one, limits)
        if refusal is None:
            identity = series_id(tenant, one.name, one.labels)
            if identity not in ids:
                ids[identity] = position
                continue
            refusal = Refusal(Reason.SERIES_DUPLICATE, one.name)
        first, positions = refused.setdefault(refusal.reason, (refusal, []))
        if not positions:
            first.sample = repr(one).encode()
        positions.append(position)
    return Admission(
        width=len(rows),
        parts=tuple(_split(rows, ids, shards)),
        refused=tuple((first, np.array(positions, dtype=np.intp)) for first, positions in refused.values()),
    )


def _split(rows: list[Series], ids: dict[int, int], shards: int) -> list[Part]:
    identities = np.fromiter(ids.keys(), dtype=np.uint64, count=len(ids))
    positions = np.fromiter(ids.values(), dtype=np.intp, count=len(ids))
    owner = (identities % np.uint64(shards)).astype(np.int64)
    many = np.array([rows[position].type == "distribution" for position in positions], dtype=np.int64)
    parts = []
    for key in np.unique(owner * 2 + many):
        mine = owner * 2 + many == key
        kept = [rows[position] for position in positions[mine]]
        clean = [
            Series(one.name, tuple(sorted(label for label in one.labels if label[1])), one.type, one.unit)
            for one in kept
        ]
        parts.append(Part(int(key) // 2, bool(key % 2), positions[mine], encode_series_set(clean), identities[mine]))
    return parts


@dataclass(slots=True)
class Admissions:
    """Remembers admissions; max_series bounds the memory, about 400 bytes a series."""

    shards: int
    limits: Limits
    max_series: int = 1_000_000
    _known: "LRUCache[tuple[str, bytes], Admission]" = field(init=False)

    def __post_init__(self) -> None:
        self._known = LRUCache(self.max_series, getsizeof=lambda admission: admission.width + 1)

    def of(self, tenant: str, series_set: bytes) -> Admission:
        """Return the admission of a set, new or remembered; raises CodecError if it cannot be decoded."""
        key = (tenant, set_hash(series_set))
        admission = self._known.get(key)
        if admission is None:
            admission = admit(tenant, series_set, self.shards, self.limits)
            if admission.width < self.max_series:
                self._known[key] = admission
        return admission
