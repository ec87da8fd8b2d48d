"""The labels of the result that an alert came of: what `$labels` is in its annotations, as in Prometheus.

An alert has them with the rule's own over them. Most are the same, so what is kept is where they differ.
"""

from collections.abc import Mapping

from udfs.alert.lifecycle import Labels

# Every alert has one of its rule's, and hardly any result.
_ALERTNAME = "alertname"


def origin_of(alert: Labels, result: Mapping[str, str]) -> Labels:
    """Return the result's labels where they differ from the alert's; an empty one stands for one that it has not."""
    held = _without(alert)
    differing = {name for name in held.keys() | result.keys() if held.get(name, "") != result.get(name, "")}
    return tuple((name, result.get(name, "")) for name in sorted(differing))


def result_of(alert: Labels, origin: Labels) -> dict[str, str]:
    """Return the result's labels."""
    merged = {**_without(alert), **dict(origin)}
    return {name: text for name, text in merged.items() if text}


def _without(alert: Labels) -> dict[str, str]:
    return {name: text for name, text in alert if name != _ALERTNAME}
