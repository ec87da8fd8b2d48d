"""Series that become others: stripped of labels, or with a label's value folded to __overflow__.

Such series merge. Within one batch and timestamp their samples are added up. Those of two sources would overwrite each
other, having one identity: so a series that was changed carries the label tidegauge_source, and sum() over it is right.
"""

from collections.abc import Collection
from dataclasses import replace

from schemas.batch import Series
from schemas.policy import OVERFLOW

SOURCE = "tidegauge_source"
# A histogram without its bounds, or a summary without its quantiles, would be nonsense.
FIXED = frozenset({"le", "quantile", SOURCE})


def strip(one: Series, allowed: Collection[str], source: str) -> Series:
    """Return the series with allowed labels only; itself if there are no others."""
    kept = tuple(pair for pair in one.labels if pair[0] in allowed or pair[0] in FIXED)
    return one if len(kept) == len(one.labels) else _sourced(replace(one, labels=kept), source)


def fold(one: Series, labels: Collection[str], source: str) -> Series:
    """Return the series with the values of these labels folded."""
    folded = tuple((name, OVERFLOW if name in labels else value) for name, value in one.labels)
    return _sourced(replace(one, labels=folded), source)


def _sourced(one: Series, source: str) -> Series:
    others = [pair for pair in one.labels if pair[0] != SOURCE]
    return replace(one, labels=tuple(sorted([*others, (SOURCE, source)])))
