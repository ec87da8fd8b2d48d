"""Digests as ClickHouse keeps them, many end to end: states of the aggregate function quantilesTDigest.

A state is VarUInt n, then n little-endian pairs (Float32 mean, Float32 count).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

CENTROIDS = 65_536  # ClickHouse reads no larger state
COUNT = 2.0**40  # of one centroid: sums of counts then stay whole numbers

UInt8s = npt.NDArray[np.uint8]
Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Centroids:
    """Centroids of S series: sorted by (series, mean), series s owns offsets[s]:offsets[s+1]."""

    offsets: Int64s
    means: Floats
    weights: Floats


def read(states: UInt8s, boundaries: Int64s) -> tuple[Int64s, Floats, Floats]:
    """Return (centroids per state, all means, all counts) of states end to end; raises ValueError at what is none."""
    bytes_ = np.diff(boundaries)
    if not len(boundaries) or boundaries[0] != 0 or boundaries[-1] != len(states) or (bytes_ < 1).any():
        raise ValueError(f"boundaries do not cut {len(states)} bytes into digest states")
    sizes = np.zeros(len(bytes_), dtype=np.int64)
    heads = np.zeros(len(bytes_), dtype=np.int64)
    rows = np.arange(len(bytes_))
    for place in range(3):
        rows = rows[bytes_[rows] > place]
        byte = states[boundaries[rows] + place].astype(np.int64)
        sizes[rows] |= (byte & 0x7F) << (7 * place)
        heads[rows[byte < 0x80]] = place + 1
        rows = rows[byte >= 0x80]
    bad = (heads == 0) | (sizes > CENTROIDS) | (bytes_ != heads + 8 * sizes)
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise ValueError(f"digest state {first} of {bytes_[first]} bytes does not hold {sizes[first]} centroids")
    pairs = states[_body(boundaries, heads)].view("<f4").reshape(-1, 2).astype(np.float64)
    means, weights = pairs[:, 0], pairs[:, 1]
    whole = (weights >= 1) & (weights <= COUNT) & (weights == np.floor(weights))
    wrong = np.isnan(means) | ~whole
    if wrong.any():
        mean, weight = pairs[np.flatnonzero(wrong)[0]]
        raise ValueError(f"digest state holds a centroid of mean {mean} and count {weight}")
    return sizes, means, weights


def _body(boundaries: Int64s, heads: Int64s) -> Bools:
    """Return which bytes of states end to end are centroids: all but the first `heads` of each."""
    body = np.ones(boundaries[-1], dtype=bool)
    for place in range(3):
        body[boundaries[:-1][heads > place] + place] = False
    return body


def encode(digest: Centroids) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
    """Return (all states end to end, their boundaries (S+1,)) in ClickHouse's format."""
    sizes = np.diff(digest.offsets)
    head = np.where(sizes < 1 << 7, 1, np.where(sizes < 1 << 14, 2, 3))
    offsets = np.concatenate([[0], np.cumsum(head + 8 * sizes)]).astype(np.int32)
    out = np.empty(offsets[-1], dtype=np.uint8)
    for place in range(3):
        rows = head > place
        more = np.where(head[rows] > place + 1, 0x80, 0)
        out[offsets[:-1][rows] + place] = (sizes[rows] >> (7 * place)) & 0x7F | more
    # Held at COUNT: producers' weights may sum to more, and a state that cannot be read would stop every tier.
    pairs = np.column_stack([digest.means, np.minimum(digest.weights, COUNT)]).astype("<f4")
    out[_body(offsets.astype(np.int64), head)] = pairs.view(np.uint8).reshape(-1)
    return out, offsets
