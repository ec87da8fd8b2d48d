"""What the gate's operators tell Flink."""

from collections.abc import Iterable
from typing import Any

from pyflink.datastream import RuntimeContext

from udfs.gate.gate import Outcome
from udfs.gate.usage import counted

_GAUGED = 100


class Counters:
    """Flink metrics of outcomes: samples by what became of them, refusals by id."""

    def __init__(self, runtime_context: RuntimeContext) -> None:
        self._group = runtime_context.get_metrics_group()
        # From the start at 0: an increase is seen of what was there before.
        names = ("samples_received", "samples_forwarded", "samples_missing", "series_new")
        self._known: dict[str, Any] = {name: self._group.counter(name) for name in names}

    def add(self, outcome: Outcome) -> None:
        """Count an outcome."""
        for name, number in counted(outcome):
            self.inc(name, number)

    def inc(self, name: str, number: int) -> None:
        """Add to a counter, made when it is first used."""
        counter = self._known.get(name)
        if counter is None:
            counter = self._known[name] = self._group.counter(name)
        counter.inc(number)


class Gauges:
    """Flink metrics of tenants, of the first hundred: Flink forgets none before the job ends.

    As distributions, which hold the last value: a gauge of PyFlink's would call Python from the reporter's thread.
    """

    def __init__(self, runtime_context: RuntimeContext) -> None:
        self._group = runtime_context.get_metrics_group()
        self._known: dict[str, dict[str, Any]] = {}

    def set(self, tenant: str, values: Iterable[tuple[str, int]]) -> None:
        """Set gauges of a tenant."""
        if tenant not in self._known and len(self._known) >= _GAUGED:
            return
        known = self._known.setdefault(tenant, {})
        for name, value in values:
            if name not in known:
                known[name] = self._group.add_group("tenant", tenant).distribution(name)
            known[name].update(value)
