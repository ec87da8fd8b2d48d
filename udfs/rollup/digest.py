"""t-digests of many series at once, as ClickHouse's aggregate state.

Merging t-digest of Dunning & Ertl (arXiv 1902.04023) with a scale function of our own; docs/digest.md has its errors.
While a series has at most COMPRESSION distinct values its digest holds them exactly, each with its count.
"""

import numpy as np
import numpy.typing as npt

from schemas.runs import first_of_run
from udfs.rollup.states import Bools, Centroids, Floats, Int64s, UInt8s, encode, read

__all__ = (
    "COARSE",
    "COMPRESSION",
    "Centroids",
    "Floats",
    "Int64s",
    "UInt8s",
    "compress",
    "decode",
    "encode",
    "merge",
    "of_values",
    "quantiles",
)

COMPRESSION = 100  # buckets of a digest of raw values: the first tier
COARSE = 100  # of digests of digests; not above COMPRESSION, or a value's state would depend on who merged it
BEND = 0.1  # share of the values at either end where the scale is a cube root
FENCE = 0.5  # share of a bucket from which a repeated value is fenced
GAP = 0.5  # share of four buckets' reach from which a gap between two values is kept
EPSILON = 0.01  # ClickHouse unites centroids up to 4 * EPSILON * q * (1 - q) of the count


def of_values(offsets: Int64s, values: Floats, compression: float = COMPRESSION) -> Centroids:
    """Return digests of S series' values; offsets (S+1,), values flat in any order within a series, no NaN."""
    # Each value weighs one, so the sorted keys alone hold the answer: no order, no gathering.
    key = np.sort(_keys(offsets, values))
    starts = np.flatnonzero(first_of_run(key))
    sizes = np.bincount((key[starts] >> np.uint64(32)).astype(np.int64), minlength=len(offsets) - 1)
    weights = np.diff(np.append(starts, len(key))).astype(np.float64)
    united = Centroids(np.concatenate([[0], np.cumsum(sizes)]), _means(key[starts]), weights)
    return _compress(united, weights > 1, compression)


def merge(states: UInt8s, boundaries: Int64s, groups: Int64s, count: int, compression: float) -> Centroids:
    """Return the digests of `count` groups of states; what a group becomes depends on its centroids, not their order.

    states holds R states end to end, boundaries (R+1,) are their places in bytes, groups (R,) says to which group
    0..count-1 each belongs, rising. A group without a state is empty. Raises ValueError at what is no state.
    """
    sizes, means, weights = read(states, np.asarray(boundaries, dtype=np.int64))
    known = not len(groups) or (groups[0] >= 0 and groups[-1] < count)
    if len(groups) != len(sizes) or not known or (np.diff(groups) < 0).any():
        raise ValueError(f"groups of {len(sizes)} digest states do not rise from 0 to {count - 1}")
    ends = np.concatenate([[0], np.cumsum(sizes)])
    offsets = ends[np.searchsorted(groups, np.arange(count + 1))]
    return compress(_sorted(offsets, means, weights), compression)


def _keys(offsets: Int64s, means: Floats) -> npt.NDArray[np.uint64]:
    """Return one integer a centroid that sorts by (series, Float32 mean): one pass instead of two columns."""
    series = np.repeat(np.arange(len(offsets) - 1, dtype=np.uint64), np.diff(offsets))
    with np.errstate(over="ignore"):  # beyond Float32 is infinite, as in ClickHouse
        bits = (means.astype(np.float32) + np.float32(0)).view(np.uint32)  # + 0: -0.0 and 0.0 are one value
    rising = np.where(bits >> np.uint32(31), ~bits, bits | np.uint32(1 << 31))
    keys: npt.NDArray[np.uint64] = series << np.uint64(32) | rising
    return keys


def _means(keys: npt.NDArray[np.uint64]) -> Floats:
    """Return the means that _keys packed."""
    rising = keys.astype(np.uint32)
    bits = np.where(rising >> np.uint32(31), rising & np.uint32((1 << 31) - 1), ~rising)
    return bits.view(np.float32).astype(np.float64)


def _grouped(series: Int64s, means: Floats, weights: Floats, head: Bools, count: int) -> Centroids:
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


def _sorted(offsets: Int64s, means: Floats, weights: Floats) -> Centroids:
    """Return centroids in any order within their series by (series, mean); equal means may stand in any order."""
    key = _keys(offsets, means)
    order = np.argsort(key, kind="stable")
    return Centroids(offsets, _means(key[order]), weights[order])


def compress(digest: Centroids, compression: float = COMPRESSION) -> Centroids:
    """Return the digests with equal means united, and neighbours too where a series has more than `compression` means.

    The lowest and highest mean of a series always stay alone, so minimum and maximum are kept.
    """
    head = first_of_run(_keys(digest.offsets, digest.means))
    starts = np.flatnonzero(head)
    repeated = np.diff(np.append(starts, len(head))) > 1
    series = np.repeat(np.arange(len(digest.offsets) - 1), np.diff(digest.offsets))
    united = _grouped(series, digest.means, digest.weights, head, len(digest.offsets) - 1)
    return _compress(united, repeated, compression)


def _compress(digest: Centroids, repeated: Bools, compression: float) -> Centroids:
    """Do what compress does; no means are equal, `repeated` ones are values that came more than once."""
    sizes = np.diff(digest.offsets)
    many = sizes > compression
    series = np.repeat(np.arange(len(sizes)), sizes)
    rows = np.flatnonzero(repeated | many[series])
    if not len(rows):
        return digest
    low, middle, high = _scaled(digest, series, rows, compression)
    wide = np.zeros(len(series), dtype=bool)
    wide[rows] = repeated[rows] & (high - low > FENCE)
    if many.any():
        bucket = np.arange(len(series)) + compression  # apart from all buckets, and from one another
        bucket[rows] = np.where(many[series[rows]], middle, bucket[rows])
        head = first_of_run(series, bucket)
        alone = wide | _at_gaps(digest.means, series, head)
        alone[digest.offsets[:-1][many]] = True
        alone[digest.offsets[1:][many] - 1] = True
        head[1:] |= alone[1:] | alone[:-1]
        digest, wide = _grouped(series, digest.means, digest.weights, head, len(sizes)), wide[head]
    return _fenced(digest, wide)


def _at_gaps(means: Floats, series: Int64s, head: Bools) -> Bools:
    """Tell which means stand at a gap that is most of the reach of four buckets.

    A centroid of values from both sides would lie where no value is, and a reader would be wrong by a bucket or more.
    """
    starts = np.flatnonzero(head)
    run = np.cumsum(head) - 1
    before = starts[np.maximum(run[:-1] - 1, 0)]
    after = np.append(starts[1:], len(means))[np.minimum(run[1:] + 1, len(starts) - 1)] - 1
    low = means[np.where(series[before] == series[:-1], before, starts[run[:-1]])]
    high = means[np.where(series[after] == series[1:], after, np.append(starts[1:], len(means))[run[1:]] - 1)]
    with np.errstate(invalid="ignore"):  # inf - inf: no gap
        gap = (means[1:] - means[:-1] > GAP * (high - low)) & (series[1:] == series[:-1])
    beside: Bools = np.append(False, gap) | np.append(gap, False)
    return beside


def _ranks(digest: Centroids, series: Int64s, rows: Int64s) -> tuple[Floats, Floats, Floats]:
    """Return (count below, count up to the end of, count of the whole series) of some centroids."""
    # Whole numbers, so that a series' ranks do not depend on what stands before it.
    ends = np.concatenate([[0], np.cumsum(digest.weights.astype(np.int64))])
    first, last = ends[digest.offsets[:-1]][series[rows]], ends[digest.offsets[1:]][series[rows]]
    below, upto, total = ends[rows] - first, ends[rows + 1] - first, last - first
    return below.astype(np.float64), upto.astype(np.float64), total.astype(np.float64)


def _scaled(digest: Centroids, series: Int64s, rows: Int64s, compression: float) -> tuple[Floats, Floats, Floats]:
    """Return the places of some centroids on the scale from 0 to `compression`: (low end, bucket of middle, high end).

    The scale grows as the cube root of the rank from either end up to the share BEND, and evenly between: k1 of the
    paper, a square root at the ends, needs about twice the centroids for the same error at 0.999.
    """
    low, high, total = _ranks(digest, series, rows)

    def place(below: Floats) -> Floats:
        share = np.minimum(below, total - below) / total
        half = np.where(share < BEND, np.cbrt(share), BEND ** (1 / 3) * (2 / 3 + share / (3 * BEND)))
        whole = 2 * BEND ** (1 / 3) * (2 / 3 + 1 / (6 * BEND))
        placed: Floats = np.where(2 * below < total, half, whole - half) * (compression / whole)
        return placed

    return place(low), np.floor(place((low + high) / 2)), place(high)


def _fenced(digest: Centroids, wide: Bools) -> Centroids:
    """Cut both ends off each wide repeated value, as centroids of the same mean.

    Readers interpolate between the middles of neighbours: without a fence the median of five 0 and one 100 would be
    20. An end is as small as may be without ClickHouse uniting it with the next value: 1 below 200 values.
    """
    rows = np.flatnonzero(wide)
    if not len(rows):
        return digest
    series = np.repeat(np.arange(len(digest.offsets) - 1), np.diff(digest.offsets))
    below, upto, total = _ranks(digest, series, rows)
    count = digest.weights[rows]
    left = np.clip(np.floor(4 * EPSILON * below * (total - below) / total), 1, count // 2)
    right = np.clip(np.floor(4 * EPSILON * upto * (total - upto) / total), 1, count // 2)
    copies = np.ones(len(wide), dtype=np.int64)
    copies[rows] = np.where(count - left - right > 0, 3, 2)
    ends = np.cumsum(copies)
    weights = np.repeat(digest.weights, copies)
    weights[ends[rows] - 2] = count - left - right  # of two copies the first is overwritten next
    weights[ends[rows] - copies[rows]] = left
    weights[ends[rows] - 1] = right + np.where(copies[rows] == 2, count - left - right, 0)
    return Centroids(np.concatenate([[0], ends])[digest.offsets], np.repeat(digest.means, copies), weights)


def quantiles(digest: Centroids, levels: Floats) -> Floats:
    """Return (S, L) values at levels 0..1, interpolated as ClickHouse does; an empty series has NaN."""
    out = np.full((len(digest.offsets) - 1, len(levels)), np.nan)
    some = np.flatnonzero(np.diff(digest.offsets))
    if not len(some):
        return out
    ends = np.concatenate([[0.0], np.cumsum(digest.weights)])
    first, last = digest.offsets[some, None], digest.offsets[some + 1, None] - 1
    rank = ends[first] + np.asarray(levels) * (ends[last + 1] - ends[first])
    middles = ends[:-1] + digest.weights / 2
    right = np.clip(np.searchsorted(middles, rank), first, last)
    left = np.maximum(right - 1, first)
    single = (digest.weights == 1) / 2
    begin, end = (middles + single)[left], (middles - single)[right]
    low, high = digest.means[left], digest.means[right]
    inner = (begin < rank) & (rank < end) & (low != high)
    share = (rank[inner] - begin[inner]) / (end[inner] - begin[inner])
    value = np.where(rank > begin, high, low)
    value[inner] = (1 - share) * low[inner] + share * high[inner]
    out[some] = value
    return out


def decode(state: bytes) -> Centroids:
    """Return the digest of one ClickHouse state; raises ValueError if it is not one."""
    sizes, means, weights = read(np.frombuffer(state, dtype=np.uint8), np.array([0, len(state)]))
    return _sorted(np.array([0, sizes[0]]), means, weights)
