"""One rule on the stream of a metric, whose samples may come late, come again, or be worth more than before."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from schemas.batch import Batch, Series, encode_series_set
from schemas.ids import series_id
from tests.udfs.alert.fakeflink import FakeFlink
from tests.udfs.alert.scenario import T0
from udfs.alert.rule import Rule

STEP = 15_000
SIZE = 30
LATE_ROW: dict[str, list[float | None]] = {"a": [*[1.0] * 4, *[9.0] * 4, *[1.0] * 20], "b": [*[1.0] * 28]}
LATE = {("a", place): 12 for place in range(3, 8)}


def sample(host: str, at: int, value: float, arrived: int = 0) -> Batch:
    labels = (("host", host),)
    ids = np.array([series_id("acme", "load", labels)], np.uint64)
    series_set = encode_series_set([Series("load", labels)])
    return Batch("acme", "t", at, series_set, np.array([at]), np.array([[value]]), None, ids, 0, arrived or None)


def rule_of(expr: str = "load > 5", for_s: float = 0, keep_s: float = 0, **more: Any) -> Rule:
    return Rule("acme", "g/A", "g", "A", expr, STEP / 1000, for_s, keep_s, **more)


def play(
    rule: Rule,
    cells: dict[str, list[float | None]],
    late: dict[tuple[str, int], int],
    disturb: Callable[[FakeFlink], None] = FakeFlink.idle,
) -> FakeFlink:
    """Run the stream; late: (host, place of the sample) → the tick after which it comes."""
    job = FakeFlink(disturb)
    job.rule(rule.key, rule.encode())
    for tick in range(SIZE + 40):
        at = T0 + tick * STEP
        for host, values in cells.items():
            if tick < len(values) and (value := values[tick]) is not None and (host, tick) not in late:
                job.batch(sample(host, at, value), at)
        job.advance(at)
        for (host, place), comes in late.items():
            value = cells[host][place]
            if comes == tick and value is not None:
                job.batch(sample(host, T0 + place * STEP, value, at + 7), T0 + place * STEP)
    return job


def one_host(
    rule: Rule,
    values: Sequence[float],
    again: Sequence[tuple[int, int, float]] = (),
    edit: tuple[int, Rule] | None = None,
    ticks: int = 0,
) -> FakeFlink:
    """Run the stream of host a, for longer than its values if ticks says so.

    again: (tick, place, value) of further samples, which come right after the tick's own. edit: (tick, what the rule
    becomes before them).
    """
    job = FakeFlink()
    job.rule(rule.key, rule.encode())
    for tick in range(ticks or len(values)):
        if tick < len(values):
            job.batch(sample("a", T0 + tick * STEP, values[tick]), T0 + tick * STEP)
        if edit and tick == edit[0]:
            job.rule(edit[1].key, edit[1].encode())
        for when, place, value in again:
            if when == tick:
                job.batch(sample("a", T0 + place * STEP, value), T0 + place * STEP)
        job.advance(T0 + tick * STEP)
    return job
