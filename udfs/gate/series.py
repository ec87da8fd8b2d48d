"""Is this series well-formed? The slow path, taken once per series of a new series set."""

import re
from collections.abc import Callable
from functools import lru_cache

from schemas.batch import Series
from schemas.reason import Reason
from udfs.gate.limits import Limits
from udfs.gate.refusal import Refusal

# Prometheus's charset, and dots: metric names of StatsD and OpenTelemetry come with them.
_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:.]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.]*")
_UTF8 = "utf8 in the tenant's policy"


def check(series: Series, limits: Limits, good: set[str]) -> Refusal | None:
    """Return why the series is refused, or None. The first reason found counts.

    good: label names that were found to be so under these limits; those of this one are added.
    """
    if not _is_metric(series.name, limits.max_name_length, limits.utf8):
        return _misnamed(Reason.NAME, series.name, limits, _METRIC)
    if len(series.labels) > limits.max_labels:
        value = f"{series.name} has {len(series.labels)}"
        return Refusal(Reason.LABEL_COUNT, value, f"{limits.max_labels} labels", setting=limits.setting("max_labels"))
    if len(series.unit) > limits.max_name_length or "\0" in series.unit:
        return _text(Reason.UNIT, f"{series.name} in {series.unit}", limits.max_name_length)
    return _of_labels(series, limits, good)


def _of_labels(series: Series, limits: Limits, good: set[str]) -> Refusal | None:
    for name, value in series.labels:
        if name not in good:
            if not _is_label(name, limits.max_name_length, limits.utf8):
                return _misnamed(Reason.LABEL_NAME, name, limits, _LABEL)
            good.add(name)
        if len(value) > limits.max_label_value_length or "\0" in value:
            return _text(Reason.LABEL_VALUE, f"{name}={value}", limits.max_label_value_length)
    if len(dict(series.labels)) < len(series.labels):
        names = [name for name, _ in series.labels]
        return Refusal(Reason.LABEL_DUPLICATE, next(name for name in names if names.count(name) > 1))
    return None


def _text(reason: Reason, value: str, longest: int) -> Refusal:
    """Return the refusal of a text that is too long, or holds a NUL, which no setting lets in."""
    return Refusal(reason, value, f"{longest} characters", setting="" if "\0" in value else None)


def _misnamed(reason: Reason, name: str, limits: Limits, charset: re.Pattern[str]) -> Refusal:
    """Return the refusal of a name with what would let it in: more characters, another charset, or nothing."""
    if len(name) > limits.max_name_length:
        return Refusal(reason, name, f"{limits.max_name_length} characters")
    if not name or "\0" in name or (reason is Reason.LABEL_NAME and name.startswith("__")):
        return Refusal(reason, name, setting="")
    return Refusal(reason, name, charset.pattern, setting=_UTF8)


def _bounded(judge: Callable[[str, int, bool], bool]) -> Callable[[str, int, bool], bool]:
    """Return judge, remembering names: they are few. A long one would only fill the memory."""
    remembered = lru_cache(maxsize=65_536)(judge)
    return lambda name, longest, utf8: (remembered if len(name) < 200 else judge)(name, longest, utf8)


@_bounded
def _is_metric(name: str, longest: int, utf8: bool) -> bool:
    return len(name) <= longest and _of_charset(_METRIC, name, utf8)


@_bounded
def _is_label(name: str, longest: int, utf8: bool) -> bool:
    return len(name) <= longest and not name.startswith("__") and _of_charset(_LABEL, name, utf8)


def _of_charset(charset: re.Pattern[str], name: str, utf8: bool) -> bool:
    return bool(name and "\0" not in name) if utf8 else charset.fullmatch(name) is not None
