"""A thousand rules and the series that they read: what bench.alert sends. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from schemas.batch import Batch, Series, encode_series_set
from schemas.nan import Floats

TENANT = "bench"
METRICS_A_SOURCE, HOSTS = 10, 100
HIGH = 95.0
_EXPRESSIONS = ("{m} > 90", "max by (dc) ({m}) > 90", "max_over_time({m}[30s]) > 90", "avg by (host) ({m}) > 90")


def metric(rule: int) -> str:
    """Return the metric that a rule reads: a hundred series."""
    return f"load_{rule:04d}"


def rule_file(rules: int, interval: str) -> str:
    """Return a Prometheus rule file: groups of ten rules, four shapes by turns, none with `for`."""
    lines = ["groups:"]
    for rule in range(rules):
        if rule % METRICS_A_SOURCE == 0:
            lines += [f"  - name: g{rule // METRICS_A_SOURCE}", f"    interval: {interval}", "    rules:"]
        expr = _EXPRESSIONS[rule % len(_EXPRESSIONS)].format(m=metric(rule))
        lines.append(f"      - {{alert: A{rule}, expr: '{expr}'}}")
    return "\n".join([*lines, ""])


def series_of(source: int) -> list[Series]:
    """Return a source's thousand series: ten metrics of a hundred hosts."""
    return [
        Series(metric(source * METRICS_A_SOURCE + place), (("dc", f"dc{host % 4}"), ("host", f"h{host:03d}")), "gauge")
        for place in range(METRICS_A_SOURCE)
        for host in range(HOSTS)
    ]


@dataclass(slots=True)
class Source:
    """One sender. Each scrape lifts one series of one metric over its rules' threshold, and the next lets it fall."""

    number: int
    scrapes: int = 0
    _set: bytes = b""
    _random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(7))

    def scrape(self, at: int) -> tuple[Batch, int]:
        """Return the batch of a scrape at `at` (ms), and the rule whose threshold it crosses."""
        self._set = self._set or encode_series_set(series_of(self.number))
        values: Floats = self._random.uniform(1, 50, METRICS_A_SOURCE * HOSTS)
        place, host = self.scrapes % METRICS_A_SOURCE, self.scrapes // METRICS_A_SOURCE % HOSTS
        values[place * HOSTS + host] = HIGH
        self.scrapes += 1
        batch = Batch(TENANT, f"s{self.number}", at, self._set, np.array([at], np.int64), values[np.newaxis, :])
        return batch, self.number * METRICS_A_SOURCE + place


def schedule(sources: int, every_s: float, seconds: float) -> Iterator[tuple[float, int]]:
    """Yield (second, source): each source once in every_s, one after the other at even distances."""
    step = every_s / sources
    for number in range(int(seconds / step)):
        yield number * step, number % sources
