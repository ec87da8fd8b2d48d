"""Records that are not what their topic holds: they are told and left out, so that one does not end a job for good.

For the topics that the jobs themselves write. Whoever may write to them can send what he likes; what is meant here is a
producer with the wrong topic in its settings. A schema that is not known here is another matter: a job of a newer
version has written that record, and to leave it out would lose it. So the job fails, until it is of that version too.
"""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from pyflink.datastream import RuntimeContext

from schemas.codec import CodecError, of_this_version

T = TypeVar("T")

_log = logging.getLogger("tidegauge.stray")
_EACH_S = 60.0  # a line a minute and operator: strays seldom come alone
_SHOWN = 40


class Strays:
    """Reads the records of one topic; counts those that cannot be read (metric records_stray)."""

    def __init__(self, topic: str, runtime_context: RuntimeContext) -> None:
        self._topic = topic
        self._counter = runtime_context.get_metrics_group().counter("records_stray")
        self._silent = 0
        self._told = -_EACH_S

    def read(self, decode: Callable[[bytes], T], value: bytes | None) -> T | None:
        """Return what a record says, None if it has no value or decode raises CodecError.

        Raises CodecError, kind `fingerprint`, if its schema is known nowhere here.
        """
        if value is None:
            self._tell("no value", b"")
            return None
        try:
            return decode(bytes(value))
        except CodecError as error:
            if error.kind == "fingerprint" and not of_this_version(bytes(value)):
                text = f"TG-other-version: {self._topic}: {error}: bring this job to the version that writes it"
                raise CodecError(error.kind, text) from None
            self._tell(str(error), bytes(value))
            return None

    def _tell(self, why: str, value: bytes) -> None:
        self._counter.inc()
        if time.monotonic() < self._told + _EACH_S:
            self._silent += 1
            return
        shown = f"{len(value)} bytes, {value[:_SHOWN]!r}"
        more = f"; {self._silent} more since the last line" if self._silent else ""
        _log.warning("TG-stray-record: %s: %s (%s); it is left out%s", self._topic, why, shown, more)
        self._told, self._silent = time.monotonic(), 0
