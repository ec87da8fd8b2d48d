"""Operators and histograms one step at a time, from Prometheus's documentation: slow, and obvious enough to trust."""

import math
from collections.abc import Callable, Sequence

Key = tuple[tuple[str, str], ...]
Instant = dict[Key, float]


class Refused(Exception):
    """The query has no answer at this step."""


def group(key: Key, on: bool, names: Sequence[str]) -> Key:
    if on:
        return tuple((name, value) for name, value in key if name in names)
    return tuple((name, value) for name, value in key if name not in names and name != "__name__")


def sets(op: str, left: Instant, right: Instant, on: bool, names: Sequence[str]) -> Instant:
    theirs = {group(key, on, names) for key in right}
    ours = {group(key, on, names) for key in left}
    if op == "and":
        return {key: value for key, value in left.items() if group(key, on, names) in theirs}
    if op == "unless":
        return {key: value for key, value in left.items() if group(key, on, names) not in theirs}
    return left | {key: value for key, value in right.items() if group(key, on, names) not in ours}


def matched(
    compute: Callable[[float, float], float | None],
    drops_name: bool,
    left: Instant,
    right: Instant,
    on: bool,
    names: Sequence[str],
    card: str,
    include: Sequence[str],
) -> Instant:
    """Return an arithmetic or comparison; compute gives None where a comparison drops the pair."""
    if not left or not right:
        return {}
    many, one = (right, left) if card == "group_right" else (left, right)
    by_group: dict[Key, Key] = {}
    for key in one:
        if by_group.setdefault(group(key, on, names), key) != key:
            raise Refused("duplicate")
    answer: Instant = {}
    seen: set[Key] = set()
    for key, value in many.items():
        mine = group(key, on, names)
        if mine not in by_group:
            continue
        other = by_group[mine]
        pair = (one[other], value) if card == "group_right" else (value, one[other])
        result = compute(*pair)
        if result is None:
            continue
        labels = {name: text for name, text in key if name != "__name__" or not drops_name}
        if card == "":
            if mine in seen:
                raise Refused("many-to-one")
            seen.add(mine)
            labels = {name: text for name, text in labels.items() if (name in names) == on}
        for name in include:
            labels.pop(name, None)
            labels |= {label: text for label, text in other if label == name}
        found = tuple(sorted(labels.items()))
        if found in answer:
            raise Refused("alike")
        answer[found] = result
    return answer


def quantile(level: float, buckets: dict[float, float]) -> float:
    """Return a quantile of a classic histogram given as {bound: cumulative count}."""
    bounds = sorted(buckets)
    if level < 0 or level > 1:
        return math.copysign(math.inf, level)
    if math.isnan(level) or bounds[-1] != math.inf or len(bounds) < 2:
        return math.nan
    counts: list[float] = []
    for bound in bounds:
        counts.append(max([buckets[bound], *counts]))
    if counts[-1] == 0:
        return math.nan
    rank = level * counts[-1]
    place = next((i for i, count in enumerate(counts[:-1]) if count >= rank), len(bounds) - 1)
    if place == len(bounds) - 1 or (place == 0 and bounds[0] <= 0):
        return bounds[min(place, len(bounds) - 2)]
    low, before = (bounds[place - 1], counts[place - 1]) if place else (0.0, 0.0)
    inside = counts[place] - before
    # Only the lowest bucket can be met while empty, by level 0: 0 of 0 is no number.
    return low + (bounds[place] - low) * (rank - before) / inside if inside else math.nan


def below(value: float, buckets: dict[float, float]) -> float:
    """Return how many observations of a histogram lie below a value."""
    bounds = sorted(buckets)
    low, count = (0.0 if bounds[0] > 0 else -math.inf), 0.0
    for bound in bounds:
        if value <= low:
            return min(count, buckets[bounds[-1]])
        if value < bound:
            inside = buckets[bound] - count
            share = 1.0 if low == -math.inf else (value - low) / (bound - low)
            return min(count + inside * share, buckets[bounds[-1]])
        low, count = bound, buckets[bound]
    return buckets[bounds[-1]]
