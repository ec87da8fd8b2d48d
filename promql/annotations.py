"""What an answer says beside its values: Prometheus's warnings and infos (util/annotations), in its words.

Prometheus adds the position in the text; a plan has none.
"""

from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np

from promql.columns import Floats
from promql.series import quoted

COUNTER_SUFFIXES = ("_total", "_sum", "_count", "_bucket")
_DOCS = "https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile"


@dataclass(slots=True)
class Annotations:
    """Collects annotations in the order of their coming, each text once."""

    _warnings: dict[str, None] = field(default_factory=dict)
    _infos: dict[str, None] = field(default_factory=dict)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is probably wrong with the query or its data."""
        return tuple(self._warnings)

    @property
    def infos(self) -> tuple[str, ...]:
        """What may be meant that way."""
        return tuple(self._infos)

    def levels(self, levels: Floats) -> None:
        """Warn of quantile levels that are none."""
        for level in np.unique(levels[~((levels >= 0) & (levels <= 1))]).tolist():
            self._warn(f"quantile value should be between 0 and 1, got {general(level)}")

    def bucket(self, metric: str, bound: str) -> None:
        """Warn of a bucket without a bound."""
        what = f'bucket label "le" is missing or has a malformed value of {quoted(bound)}'
        self._warn(f"{what} for metric name {quoted(metric)}")

    def counter(self, metric: str) -> None:
        """Say that rate and increase are for counters, if the name does not look like one."""
        if metric and not metric.endswith(COUNTER_SUFFIXES):
            what = "metric might not be a counter, name does not end in _total/_sum/_count/_bucket"
            self._info(f"{what}: {quoted(metric)}")

    def digested(self, width_ms: int) -> None:
        """Say how far quantiles by digests may be off (docs/digest.md)."""
        self._info(
            f"quantile_over_time is from digests of {width_ms // 60_000}m: windows of up to 100 samples to 7 digits, "
            "elsewhere off by up to 0.5% of the ranks, 0.1% at 0.99, 0.02% at 0.999 [TG-digest-bound]"
        )

    def monotonic(self, metric: str) -> None:
        """Say that bucket counts fell from one bound to the next."""
        what = f"input to histogram_quantile needed to be fixed for monotonicity (see {_DOCS})"
        self._info(f"{what} for metric name {quoted(metric)}")

    def _warn(self, text: str) -> None:
        self._warnings[f"PromQL warning: {text}"] = None

    def _info(self, text: str) -> None:
        self._infos[f"PromQL info: {text}"] = None


def general(value: float) -> str:
    """Return a number as Go's %g prints it: the shortest digits, an exponent below 1e-4 and from 1e6 on."""
    if np.isnan(value) or np.isinf(value):
        return "NaN" if np.isnan(value) else f"{value:+}".replace("inf", "Inf")
    digits = Decimal(repr(value)).normalize()
    power = digits.adjusted()
    if digits == 0 or -4 <= power < 6:
        return f"{digits:f}"
    return f"{digits.scaleb(-power):f}e{power:+03d}"
