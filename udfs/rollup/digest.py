"""t-digests of many series at once, as ClickHouse's aggregate state.

Merging t-digest of Dunning & Ertl (arXiv 1902.04023) with the scale function k1. A state of the aggregate function
quantilesTDigest is VarUInt n, then n little-endian pairs (Float32 mean, Float32 count).
While a series has at most COMPRESSION distinct values its digest holds them exactly, each with its count.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

COMPRESSION = 200

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


def compress(digest: Centroids, compression: int = COMPRESSION) -> Centroids:
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
    body = np.ones(len(out), dtype=bool)
    for place in range(3):
        body[offsets[:-1][head > place] + place] = False
    pairs = np.column_stack([digest.means, digest.weights]).astype("<f4")
    out[body] = pairs.view(np.uint8).reshape(-1)
    return out, offsets


def decode(state: bytes) -> Centroids:
    """Return the digest of one ClickHouse state; raises ValueError if it is not one."""
    size, place = 0, 0
    while True:
        if place >= len(state) or place > 4:
            raise ValueError(f"digest state of {len(state)} bytes has no whole count")
        size |= (state[place] & 0x7F) << (7 * place)
        place += 1
        if state[place - 1] < 0x80:
            break
    if len(state) != place + 8 * size:
        raise ValueError(f"digest state of {len(state)} bytes does not hold {size} centroids")
    pairs = np.frombuffer(state, dtype="<f4", offset=place).reshape(size, 2).astype(np.float64)
    return merge_equal(np.array([0, size]), pairs[:, 0], pairs[:, 1])
