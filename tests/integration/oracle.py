"""What the rollup tables must hold: plain Python over the samples, one series at a time, no code of the jobs."""

import itertools

Sent = dict[tuple[int, int], float]
"""(series id, ms): value."""
Rows = dict[tuple[int, int], tuple[float, ...]]
"""(series id, window start in ms): COLUMNS."""

COLUMNS = ("count", "sum", "sum_sq", "min", "max", "first", "last", "increase")


def expected(sent: Sent, width: int) -> Rows:
    """Return the rows of windows of `width` ms."""
    windows: dict[tuple[int, int], list[tuple[int, float]]] = {}
    for (series, stamp), value in sent.items():
        windows.setdefault((series, (stamp - 1) // width * width), []).append((stamp, value))
    return {key: _row([value for _, value in sorted(samples)]) for key, samples in windows.items()}


def before(upto: int, rows: Rows) -> Rows:
    """Return the rows of the windows that start before upto, ms."""
    return {key: row for key, row in rows.items() if key[1] < upto}


def _row(values: list[float]) -> tuple[float, ...]:
    increase = 0.0
    for before, after in itertools.pairwise(values):
        increase += after if after < before else after - before
    squares = sum(value * value for value in values)
    return (len(values), sum(values), squares, min(values), max(values), values[0], values[-1], increase)
