"""Admission of a series set: which series enter, under which ids, in which shards.

Decoding, checking and splitting a set costs microseconds a series, so the result is kept by the set's key, and an
unchanged set passes by one look-up.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from cachetools import LRUCache

from schemas.batch import Batch, Series, encode_series_set
from schemas.columns import UInt64s
from schemas.ids import series_id, set_hash
from schemas.nan import Mask
from schemas.policy import Policy
from schemas.reason import Reason
from udfs.gate.budget import ADMITTED, FOLDED, SERIES, TENANT, VALUES, Decision, room
from udfs.gate.candidates import Candidates, candidates
from udfs.gate.fold import fold
from udfs.gate.limits import Limits
from udfs.gate.members import Positions, UInt8s
from udfs.gate.refusal import Refusal

K = TypeVar("K")
V = TypeVar("V")

SERIES_BYTES = 400  # what is known of a series takes, labels of the usual length included
_SET_BYTES = 256 << 10  # a part travels with its labels, in every record (cut)


@dataclass(frozen=True, slots=True)
class Part:
    """The series of one shard: their positions in the incoming set, the sanitised set, the ids.

    Distributions and all other types stand in parts of their own, so that behind the gate a batch is one or the other.
    columns: the first position of each series. If series merge, members are all positions of the part, and groups
    tells which of its series each belongs to.
    """

    shard: int
    distributions: bool
    columns: Positions
    series_set: bytes
    series_ids: UInt64s
    members: Positions | None = None
    groups: Positions | None = None


@dataclass(frozen=True, slots=True)
class Merging:
    """What merges in a row of a set, all parts at once: members from heads[i] on become one, at position into[i].

    Single series are not in it, nor are distributions. folds: whether it comes from folding, not from stripping.
    """

    members: Positions
    heads: Positions
    into: Positions
    folds: bool = False


@dataclass(frozen=True, slots=True)
class Admission:
    """What became of a set of `width` series. refused holds one refusal a reason, with the positions it covers.

    would: what a policy on trial would have refused or folded, by id. merging: None if no two series are one.
    """

    width: int
    parts: tuple[Part, ...]
    refused: tuple[tuple[Refusal, Positions], ...]
    would: tuple[tuple[str, Positions], ...] = ()
    merging: Merging | None = None

    def weight(self, verdict: int = 0) -> int:
        """Return the bytes of a cache that it takes with its verdict: what it has, or SERIES_BYTES a series."""
        arrays = [positions for _, positions in (*self.refused, *self.would)]
        if self.merging is not None:
            arrays += [self.merging.members, self.merging.heads, self.merging.into]
        for part in self.parts:
            arrays += [one for one in (part.columns, part.members, part.groups) if one is not None]
        data = sum(one.nbytes for one in arrays)
        data += sum(len(part.series_set) + part.series_ids.nbytes for part in self.parts)
        data += sum(len(refusal.value) + len(refusal.limit) + len(refusal.sample) for refusal, _ in self.refused)
        return max(SERIES_BYTES * (self.width + 1), data + verdict)


def keep(cache: "LRUCache[K, V]", key: K, value: V) -> bool:
    """Keep a value, unless it is larger than the whole cache: then return False."""
    if cache.getsizeof(value) > cache.maxsize:
        return False
    cache[key] = value
    return True


def resolve(
    tenant: str, source: str, asked: Candidates, shards: int, decision: Decision, policy: Policy | None = None
) -> Admission:
    """Return the admission that a decision on the candidates makes; policy: by which it was made."""
    codes = decision.codes
    series, ids, owner, folds = asked.series, asked.ids, asked.owner, False
    refused = asked.refused
    would: tuple[tuple[str, Positions], ...] = ()
    if codes is not None and policy is not None:
        if policy.dry_run:
            would = tuple(_would(asked, codes, policy))
        else:
            series, ids, owner = _folded(tenant, source, asked, decision)
            refused, folds = (*refused, *_refused(asked, codes, policy)), True
    plain = np.fromiter((one.type != "distribution" for one in series), dtype=bool, count=len(series))
    parts = tuple(_split(series, ids, owner, plain, shards))
    return Admission(asked.width, parts, refused, would, _merging(owner, plain, folds))


def _refused(asked: Candidates, codes: UInt8s, policy: Policy) -> Iterator[tuple[Refusal, Positions]]:
    given = np.where(asked.owner >= 0, codes[asked.owner], ADMITTED)
    for code in (SERIES, TENANT, VALUES):
        positions = np.flatnonzero(given == code)
        if len(positions):
            first = asked.series[asked.owner[positions[0]]]
            refusal = _over(code, first, policy)
            refusal.sample = repr(first).encode()[:4096]
            yield refusal, positions


def _over(code: int, one: Series, policy: Policy) -> Refusal:
    """Return the refusal of a series that is over a limit of a policy, with the limit."""
    rule = policy.metric(one.name)
    if code == TENANT:
        # None: the reason's own, which is the policy's.
        setting = "TIDEGAUGE_GATE_MAX_SERIES" if policy.max_series is None else None
        return Refusal(Reason.TENANT_SERIES_LIMIT, one.name, f"{policy.most_series} series", setting=setting)
    if code == VALUES:
        # A verdict has no labels: of several that have limits, all are told.
        limits = rule.per_label_value_limits
        value = ", ".join(f"{label}={shown}" for label, shown in one.labels if label in limits)
        limit = ", ".join(f"{limits[label]} values of {label}" for label, _ in one.labels if label in limits)
        return Refusal(Reason.LABEL_VALUES_LIMIT, f"{one.name}: {value}", limit)
    folded = f"{room(rule, policy)} folded series" if (rule.action or policy.action) == "fold" else ""
    own = "" if rule.max_series is None else f"{rule.max_series} series"
    return Refusal(Reason.SERIES_LIMIT, one.name, " and ".join(filter(None, (own, folded))))


def _would(asked: Candidates, codes: UInt8s, policy: Policy) -> Iterator[tuple[str, Positions]]:
    yield from ((refusal.reason.id, positions) for refusal, positions in _refused(asked, codes, policy))
    given = np.where(asked.owner >= 0, codes[asked.owner], ADMITTED)
    folded = np.flatnonzero(given == FOLDED)
    if len(folded):
        yield "folded", folded


def _folded(tenant: str, source: str, asked: Candidates, decision: Decision) -> tuple[list[Series], UInt64s, Positions]:
    """Return (series, ids, owner) once the refused are gone and the folded are what they fold to."""
    assert decision.codes is not None  # resolve() asked
    folds = iter(decision.folds)
    found: dict[int, int] = {}
    series: list[Series] = []
    # -1 last, so that a refused position's owner, -1, stays -1.
    target = np.full(len(asked.series) + 1, -1, dtype=np.intp)
    for place, (one, code) in enumerate(zip(asked.series, decision.codes.tolist(), strict=True)):
        identity = int(asked.ids[place])
        if code == FOLDED:
            one = fold(one, next(folds), source)  # noqa: PLW2901 - it is the same series under another name
            identity = series_id(tenant, one.name, one.labels)
        elif code != ADMITTED:
            continue
        # Two series that fold to one merge; so do the folded and one that a producer names so itself.
        target[place] = found.setdefault(identity, len(series))
        if target[place] == len(series):
            series.append(one)
    return series, np.fromiter(found, dtype=np.uint64, count=len(found)), target[asked.owner]


def _merging(owner: Positions, plain: Mask, folds: bool) -> Merging | None:
    """Return what of these positions merges; owner as in _split, plain: which series are no distributions."""
    kept = np.flatnonzero(owner >= 0)
    width = np.bincount(owner[kept], minlength=len(plain))
    shared = (width > 1) & plain
    if not shared.any():
        return None
    members = kept[shared[owner[kept]]]
    members = members[np.argsort(owner[members], kind="stable")]
    heads = np.concatenate([[0], np.cumsum(width[shared])[:-1]])
    return Merging(members, heads, members[heads], folds)


def _split(series: list[Series], ids: UInt64s, owner: Positions, plain: Mask, shards: int) -> Iterator[Part]:
    """Yield the parts, several of a shard if labels are many; owner: for each incoming position its series, or -1."""
    kept = np.flatnonzero(owner >= 0)
    kept = kept[np.argsort(owner[kept], kind="stable")]
    group = (ids % np.uint64(shards)).astype(np.int64) * 2 + ~plain
    for key in np.unique(group):
        for places, clean in _sets(series, np.flatnonzero(group == key)):
            mine = np.zeros(len(series), dtype=bool)
            mine[places] = True
            members = kept[mine[owner[kept]]]
            # Sorted by owner, so that each series of the part is there, in order.
            _, heads, groups = np.unique(owner[members], return_index=True, return_inverse=True)
            merges = (members, groups) if len(heads) < len(members) else (None, None)
            yield Part(int(key) // 2, bool(key % 2), members[heads], clean, ids[places], *merges)


def _sets(series: list[Series], places: Positions) -> Iterator[tuple[Positions, bytes]]:
    """Yield series in encoded sets of at most _SET_BYTES, or of one series, in their order."""
    clean = encode_series_set([series[place] for place in places])
    half = len(places) // 2
    if len(clean) <= _SET_BYTES or not half:
        yield places, clean
        return
    yield from _sets(series, places[:half])
    yield from _sets(series, places[half:])


@dataclass(slots=True)
class Admissions:
    """The gate without policies: every well-formed series enters. max_series bounds the memory, 400 bytes a series."""

    shards: int
    limits: Limits
    max_series: int = 1_000_000
    _known: "LRUCache[tuple[str, bytes], Admission]" = field(init=False)

    def __post_init__(self) -> None:
        self._known = LRUCache(SERIES_BYTES * self.max_series, getsizeof=Admission.weight)

    def limits_of(self, tenant: str, received_at: int) -> Limits:
        """Return the limits of a tenant."""
        return self.limits

    def refuse(self, batch: Batch, samples: int, received_at: int, lag_ms: int, partition: int) -> None:
        """Let every batch in."""

    def admission(self, batch: Batch, received_at: int) -> Admission:
        """Return the admission of a batch's set, new or remembered; raises CodecError if it cannot be decoded."""
        key = (batch.tenant, set_hash(batch.series_set))
        admission = self._known.get(key)
        if admission is None:
            asked = candidates(batch.tenant, batch.source, batch.series_set, self.limits)
            admission = resolve(batch.tenant, batch.source, asked, self.shards, Decision(0))
            keep(self._known, key, admission)
        return admission
