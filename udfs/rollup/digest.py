"""t-digests of many series at once, as ClickHouse's aggregate state.

Merging t-digest of Dunning & Ertl (arXiv 1902.04023) with the scale function k1. A state of the aggregate function
quantilesTDigest is VarUInt n, then n little-endian pairs (Float32 mean, Float32 count).
While a series has at most COMPRESSION distinct values its digest holds them exactly, each with its count.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

COMPRESSION = 200  # of raw values: the first tier
COARSE = 200  # of digests: the coarser tiers
CENTROIDS = 65_536  # ClickHouse reads no larger state
COUNT = 2.0**40  # of one centroid: sums of counts then stay whole numbers

UInt8s = npt.NDArray[np.uint8]
Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Centroids:
    """Centroids of S series: sorted by (series, mean), series s owns offsets[s]:offsets[s+1]."""

    offsets: Int64s
    means: Floats
    weights: Floats


def of_values(offsets: Int64s, values: Floats) -> Centroids:
    """Return digests of S series' values; offsets (S+1,), values flat in any order within a series, no NaN."""
    # Each value weighs one, so the sorted keys alone hold the answer: no order, no gathering.
    key = np.sort(_keys(offsets, values))
    starts = np.flatnonzero(_heads(key))
    sizes = np.bincount((key[starts] >> np.uint64(32)).astype(np.int64), minlength=len(offsets) - 1)
    weights = np.diff(np.append(starts, len(key))).astype(np.float64)
    return compress(Centroids(np.concatenate([[0], np.cumsum(sizes)]), _means(key[starts]), weights))


def merge_equal(offsets: Int64s, means: Floats, weights: Floats) -> Centroids:
    """Sort centroids within their series and unite those that Float32 cannot tell apart."""
    key = _keys(offsets, means)
    order = np.argsort(key, kind="stable")
    key = key[order]
    series = (key >> np.uint64(32)).astype(np.int64)
    return _grouped(series, _means(key), weights[order], _heads(key), len(offsets) - 1)


def merge(states: UInt8s, boundaries: Int64s, groups: Int64s, count: int, compression: float) -> Centroids:
    """Return the digests of `count` groups of states; what a group becomes depends on its centroids, not their order.

    states holds R states end to end, boundaries (R+1,) are their places in bytes, groups (R,) says to which group
    0..count-1 each belongs, rising. A group without a state is empty. Raises ValueError at what is no state.
    """
    sizes, means, weights = _read(states, np.asarray(boundaries, dtype=np.int64))
    known = not len(groups) or (groups[0] >= 0 and groups[-1] < count)
    if len(groups) != len(sizes) or not known or (np.diff(groups) < 0).any():
        raise ValueError(f"groups of {len(sizes)} digest states do not rise from 0 to {count - 1}")
    ends = np.concatenate([[0], np.cumsum(sizes)])
    offsets = ends[np.searchsorted(groups, np.arange(count + 1))]
    return compress(merge_equal(offsets, means, weights), compression)


def _read(states: UInt8s, boundaries: Int64s) -> tuple[Int64s, Floats, Floats]:
    """Return (centroids per state, all means, all counts) of states end to end."""
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


def _body(boundaries: Int64s, heads: Int64s) -> npt.NDArray[np.bool_]:
    """Return which bytes of states end to end are centroids: all but the first `heads` of each."""
    body = np.ones(boundaries[-1], dtype=bool)
    for place in range(3):
        body[boundaries[:-1][heads > place] + place] = False
    return body


def _keys(offsets: Int64s, means: Floats) -> npt.NDArray[np.uint64]:
    """Return one integer a centroid that sorts by (series, Float32 mean): one pass instead of two columns."""
    series = np.repeat(np.arange(len(offsets) - 1, dtype=np.uint64), np.diff(offsets))
    bits = (means.astype(np.float32) + np.float32(0)).view(np.uint32)  # + 0: -0.0 and 0.0 are one value
    rising = np.where(bits >> np.uint32(31), ~bits, bits | np.uint32(1 << 31))
    keys: npt.NDArray[np.uint64] = series << np.uint64(32) | rising
    return keys


def _means(keys: npt.NDArray[np.uint64]) -> Floats:
    """Return the means that _keys packed."""
    rising = keys.astype(np.uint32)
    bits = np.where(rising >> np.uint32(31), rising & np.uint32((1 << 31) - 1), ~rising)
    return bits.view(np.float32).astype(np.float64)


def _heads(keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    head = np.ones(len(keys), dtype=bool)
    head[1:] = keys[1:] != keys[:-1]
    return head


def _grouped(series: Int64s, means: Floats, weights: Floats, head: npt.NDArray[np.bool_], count: int) -> Centroids:
    """Unite runs of centroids that begin at `head` into one each; the mean of equal means is that mean, exactly."""
    starts = np.flatnonzero(head)
    if not len(starts):
        return Centroids(np.zeros(count + 1, np.int64), np.empty(0), np.empty(0))
    total = np.add.reduceat(weights, starts)
    first = means[starts]
    run = np.cumsum(head) - 1
    # Offsets from the run's first mean: equal means then average to themselves, infinities stay infinities.
    apart = np.subtract(means, first[run], out=np.zeros_like(means), where=means != first[run])
    united = first + np.add.reduceat(apart * weights, starts) / total
    sizes = np.bincount(series[starts], minlength=count)
    return Centroids(np.concatenate([[0], np.cumsum(sizes)]), united, total)


def compress(digest: Centroids, compression: float = COMPRESSION) -> Centroids:
    """Unite neighbours until each series has about `compression` centroids; smaller series stay as they are.

    The lowest and highest centroid of a series always stay alone, so minimum and maximum are kept.
    """
    sizes = np.diff(digest.offsets)
    if not len(sizes) or sizes.max() <= compression:
        return digest
    series = np.repeat(np.arange(len(sizes)), sizes)
    ends = np.cumsum(digest.weights)
    before = np.concatenate([[0.0], ends])[digest.offsets[:-1]]
    total = np.concatenate([[0.0], ends])[digest.offsets[1:]] - before
    middle = (ends - digest.weights / 2 - before[series]) / total[series]
    scale = np.arcsin(np.clip(2 * middle - 1, -1, 1)) / np.pi + 0.5
    bucket = np.floor(scale * compression).astype(np.int64)
    lone = sizes[series] <= compression
    bucket[lone] = np.arange(len(bucket))[lone]
    head = np.ones(len(bucket), dtype=bool)
    head[1:] = (series[1:] != series[:-1]) | (bucket[1:] != bucket[:-1])
    head[digest.offsets[:-1][sizes > 0]] = True
    last = digest.offsets[1:][sizes > 0] - 1
    head[last] = True
    second = digest.offsets[:-1][sizes > 1] + 1
    head[second] = True
    return _grouped(series, digest.means, digest.weights, head, len(sizes))


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
    pairs = np.column_stack([digest.means, digest.weights]).astype("<f4")
    out[_body(offsets.astype(np.int64), head)] = pairs.view(np.uint8).reshape(-1)
    return out, offsets


def decode(state: bytes) -> Centroids:
    """Return the digest of one ClickHouse state; raises ValueError if it is not one."""
    sizes, means, weights = _read(np.frombuffer(state, dtype=np.uint8), np.array([0, len(state)]))
    return merge_equal(np.array([0, sizes[0]]), means, weights)
