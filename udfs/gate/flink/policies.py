"""The policies that gate and owner get by broadcast."""

import logging
from collections.abc import Callable, Sequence

from pyflink.common import Types
from pyflink.datastream import RuntimeContext
from pyflink.datastream.state import MapStateDescriptor

from schemas.policy import PolicyFault
from sinks.control import Change
from udfs.gate.limits import Limits
from udfs.gate.policies import Policies
from udfs.mode import announce

POLICIES = MapStateDescriptor("policies", Types.STRING(), Types.STRING())

_log = logging.getLogger("tidegauge.gate")

History = Callable[[], Sequence[Change]]
"""All of control.policies so far: key, value, the broker's stamp in ms."""


class Book:
    """The Policies of one operator."""

    def __init__(
        self, word: str, limits: Limits, max_series: int, history: History, runtime_context: RuntimeContext
    ) -> None:
        announce(word, runtime_context)
        self.policies = Policies(limits, max_series)
        self._refused = runtime_context.get_metrics_group().counter("policies_refused")
        for key, value, at in history():
            self.take(key, value, at)

    def take(self, key: str, value: bytes | None, at: int) -> None:
        """Take one record of control.policies."""
        try:
            self.policies.put(key, value, at)
        except PolicyFault as fault:
            self._refused.inc()
            _log.warning("policy %r refused, what was in force stays: %s", key, fault)
