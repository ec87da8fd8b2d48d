"""Is this series well-formed? The slow path, taken once per series of a new series set."""

import re
from functools import lru_cache

from schemas.batch import Series
from schemas.reason import Reason
from udfs.gate.limits import Limits
from udfs.gate.refusal import Refusal

# Prometheus's charset, and dots: metric names of StatsD and OpenTelemetry come with them.
_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:.]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.]*")


def check(series: Series, limits: Limits) -> Refusal | None:
    """Return why the series is refused, or None. The first reason found counts."""
    longest = f"{limits.max_name_length} characters"
    if not _is_name(_METRIC, series.name, limits.max_name_length, limits.utf8):
        return Refusal(Reason.NAME, series.name, longest)
    if len(series.labels) > limits.max_labels:
        return Refusal(Reason.LABEL_COUNT, f"{series.name} has {len(series.labels)}", f"{limits.max_labels} labels")
    seen = set()
    for name, value in series.labels:
        if not _is_name(_LABEL, name, limits.max_name_length, limits.utf8) or name.startswith("__"):
            return Refusal(Reason.LABEL_NAME, name, longest)
        if len(value) > limits.max_label_value_length or "\0" in value:
            return Refusal(Reason.LABEL_VALUE, f"{name}={value}", f"{limits.max_label_value_length} characters")
        if name in seen:
            return Refusal(Reason.LABEL_DUPLICATE, name)
        seen.add(name)
    return None


def _is_name(charset: re.Pattern[str], name: str, longest: int, utf8: bool) -> bool:
    # Names are few; a long one would only fill the memory.
    return len(name) <= longest and (_matches(charset, name, utf8) if len(name) < 200 else _judge(charset, name, utf8))


def _judge(charset: re.Pattern[str], name: str, utf8: bool) -> bool:
    return bool(name and "\0" not in name) if utf8 else charset.fullmatch(name) is not None


_matches = lru_cache(maxsize=65_536)(_judge)
