"""Range functions one sample at a time, from Prometheus's documentation: slow, and obvious enough to trust."""

import itertools
import math
from collections.abc import Callable

Samples = list[tuple[int, float]]


def window(samples: Samples, end_ms: int, range_ms: int) -> Samples:
    return [(at, value) for at, value in samples if end_ms - range_ms < at <= end_ms]


def _extrapolated(seen: Samples, end_ms: int, range_ms: int, counter: bool) -> float | None:
    if len(seen) < 2:
        return None
    change = seen[-1][1] - seen[0][1]
    if counter:
        change += sum(previous for (_, previous), (_, value) in itertools.pairwise(seen) if value < previous)
    sampled = (seen[-1][0] - seen[0][0]) / 1000
    average = sampled / (len(seen) - 1)
    to_start = (seen[0][0] - (end_ms - range_ms)) / 1000
    to_end = (end_ms - seen[-1][0]) / 1000
    to_start = average / 2 if to_start >= average * 1.1 else to_start
    to_end = average / 2 if to_end >= average * 1.1 else to_end
    if counter and change > 0 and seen[0][1] >= 0:
        to_start = min(to_start, sampled * seen[0][1] / change)
    return change * (sampled + to_start + to_end) / sampled


def increase(seen: Samples, end_ms: int, range_ms: int) -> float | None:
    return _extrapolated(seen, end_ms, range_ms, True)


def rate(seen: Samples, end_ms: int, range_ms: int) -> float | None:
    found = increase(seen, end_ms, range_ms)
    return None if found is None else found / (range_ms / 1000)


def delta(seen: Samples, end_ms: int, range_ms: int) -> float | None:
    return _extrapolated(seen, end_ms, range_ms, False)


def irate(seen: Samples, end_ms: int, range_ms: int) -> float | None:
    if len(seen) < 2:
        return None
    (before_ms, before), (last_ms, last) = seen[-2:]
    return (last if last < before else last - before) / ((last_ms - before_ms) / 1000)


def idelta(seen: Samples, end_ms: int, range_ms: int) -> float | None:
    return None if len(seen) < 2 else seen[-1][1] - seen[-2][1]


def changes(seen: Samples, end_ms: int, range_ms: int) -> float | None:
    values = [value for _, value in seen]
    return (
        sum(a != b and not (math.isnan(a) and math.isnan(b)) for a, b in itertools.pairwise(values)) if seen else None
    )


def resets(seen: Samples, end_ms: int, range_ms: int) -> float | None:
    values = [value for _, value in seen]
    return sum(b < a for a, b in itertools.pairwise(values)) if seen else None


def deriv(seen: Samples, end_ms: int, range_ms: int) -> float | None:
    if len(seen) < 2:
        return None
    x = [(at - seen[0][0]) / 1000 for at, _ in seen]
    y = [value for _, value in seen]
    x_mean, y_mean = math.fsum(x) / len(x), math.fsum(y) / len(y)
    top = math.fsum((a - x_mean) * (b - y_mean) for a, b in zip(x, y, strict=True))
    return top / math.fsum((a - x_mean) ** 2 for a in x)


def predict_linear(seen: Samples, end_ms: int, range_ms: int) -> float | None:
    slope = deriv(seen, end_ms, range_ms)
    if slope is None:
        return None
    x_mean = math.fsum((at - end_ms) / 1000 for at, _ in seen) / len(seen)
    y_mean = math.fsum(value for _, value in seen) / len(seen)
    return y_mean + slope * (100 - x_mean)


def newest(samples: Samples, at_ms: int, stale: Callable[[float], bool]) -> float | None:
    """Return what an instant selector sees."""
    seen = window(samples, at_ms, 300_000)
    return None if not seen or stale(seen[-1][1]) else seen[-1][1]


def subquery(samples: Samples, end_ms: int, range_ms: int, step_ms: int, stale: Callable[[float], bool]) -> Samples:
    """Return the values of an instant selector at the multiples of the step in (end - range, end]."""
    times = [at for at in range(end_ms - range_ms + 1, end_ms + 1) if at % step_ms == 0]
    found = [(at, newest(samples, at, stale)) for at in times]
    return [(at, value) for at, value in found if value is not None]


def _over(compute: Callable[[list[float]], float]) -> "Reference":
    def of(seen: Samples, end_ms: int, range_ms: int) -> float | None:
        return compute([value for _, value in seen]) if seen else None

    return of


def _numbers(values: list[float]) -> list[float]:
    return [value for value in values if not math.isnan(value)] or [math.nan]


def _stdvar(values: list[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) ** 2 for value in values) / len(values)


def _quantile(values: list[float]) -> float:
    ranked = sorted(values, key=lambda value: (not math.isnan(value), value))
    rank = 0.3 * (len(ranked) - 1)
    low = math.floor(rank)
    high = min(low + 1, len(ranked) - 1)
    return ranked[low] * (1 - (rank - low)) + ranked[high] * (rank - low)


Reference = Callable[[Samples, int, int], float | None]

# Those that say what NaN does to them, and those that only take numbers here.
WITH_NAN: dict[str, Reference] = {
    "changes(m[{r}])": changes,
    "resets(m[{r}])": resets,
    "min_over_time(m[{r}])": _over(lambda values: min(_numbers(values))),
    "max_over_time(m[{r}])": _over(lambda values: max(_numbers(values))),
    "count_over_time(m[{r}])": _over(len),
    "present_over_time(m[{r}])": _over(lambda values: 1.0),
    "last_over_time(m[{r}])": _over(lambda values: values[-1]),
    "sum_over_time(m[{r}])": _over(sum),
    "quantile_over_time(0.3, m[{r}])": _over(_quantile),
    "idelta(m[{r}])": idelta,
    "irate(m[{r}])": irate,
}
NUMBERS: dict[str, Reference] = {
    "rate(m[{r}])": rate,
    "increase(m[{r}])": increase,
    "delta(m[{r}])": delta,
    "deriv(m[{r}])": deriv,
    "predict_linear(m[{r}], 100)": predict_linear,
    "avg_over_time(m[{r}])": _over(lambda values: math.fsum(values) / len(values)),
    "stdvar_over_time(m[{r}])": _over(_stdvar),
    "stddev_over_time(m[{r}])": _over(lambda values: math.sqrt(_stdvar(values))),
}
