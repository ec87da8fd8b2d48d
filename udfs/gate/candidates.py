"""The series of a set that are well-formed, stripped as the policy says: what the budget decides on."""

from dataclasses import dataclass

import numpy as np

from schemas.batch import Series, decode_series_set
from schemas.columns import UInt64s
from schemas.ids import series_id
from schemas.policy import Policy
from schemas.reason import Reason
from udfs.gate.fold import strip
from udfs.gate.limits import Limits
from udfs.gate.members import Positions
from udfs.gate.refusal import Refusal
from udfs.gate.series import check


@dataclass(frozen=True, slots=True)
class Candidates:
    """series and ids, one each, none twice. owner: for each of `width` positions of the set its series, -1 if refused.

    refused holds one refusal a reason, with the positions it covers.
    """

    width: int
    series: list[Series]
    ids: UInt64s
    owner: Positions
    refused: tuple[tuple[Refusal, Positions], ...]


def candidates(tenant: str, source: str, series_set: bytes, limits: Limits, policy: Policy | None = None) -> Candidates:
    """Decode and check a set; raises CodecError if it cannot be decoded."""
    rows = decode_series_set(series_set, limits.max_series_per_batch)
    strips = policy is not None and policy.strips and not policy.dry_run
    found: dict[int, int] = {}
    series: list[Series] = []
    owner = np.full(len(rows), -1, dtype=np.intp)
    refused: dict[Reason, tuple[Refusal, list[int]]] = {}
    good: set[str] = set()
    for position, row in enumerate(rows):
        refusal = check(row, limits, good)
        if refusal is None:
            one = row
            if strips and policy is not None:
                allowed = policy.metric(row.name).allowed_labels
                one = row if allowed is None else strip(row, allowed, source)
            identity = series_id(tenant, one.name, one.labels)
            place = found.setdefault(identity, len(series))
            if place == len(series):
                series.append(_clean(one))
            elif one is row or (series[place].type == "distribution") != (one.type == "distribution"):
                refusal = Refusal(Reason.SERIES_DUPLICATE, one.name)
            if refusal is None:
                owner[position] = place
                continue
        first, positions = refused.setdefault(refusal.reason, (refusal, []))
        if not positions:
            first.sample = repr(row).encode()[:4096]
        positions.append(position)
    return Candidates(
        len(rows),
        series,
        np.fromiter(found, dtype=np.uint64, count=len(found)),
        owner,
        tuple((first, np.array(positions, dtype=np.intp)) for first, positions in refused.values()),
    )


def _clean(one: Series) -> Series:
    """Return the series with its labels sorted, those without a value left out."""
    before = ("", "")
    for pair in one.labels:
        if pair < before or not pair[1]:
            break
        before = pair
    else:
        return one
    return Series(one.name, tuple(sorted(label for label in one.labels if label[1])), one.type, one.unit)
