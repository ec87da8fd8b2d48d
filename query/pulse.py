"""Whether ClickHouse answers anything at all: one that is slow is waited for, one that hangs is told from it."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

from query.errors import unavailable
from sinks.clickhouse import Clickhouse
from sinks.refusal import ClickhouseError, Unavailable

# How long a statement is waited for before the probe is asked, s, and at most so much of the request's time that is
# left: whoever hears that nobody answers must still have time to look into the cache.
PATIENCE_S = 5.0
PATIENCE_SHARE = 0.25
# How long the probe waits, s, and how long its silence is taken for the answer to everything.
PROBE_S = 5.0
HOLD_S = 5.0
# Statements at once: those of the requests, and those that nobody waits for any more until their own time is over.
MOST = 256

T = TypeVar("T")


class Pulse:
    """Runs statements, and gives them up when a probe is not answered either. For any number of threads.

    probe: asks for next to nothing and tells whether an answer came within PROBE_S. clock: monotonic seconds.
    """

    def __init__(self, probe: Callable[[], bool], clock: Callable[[], float], patience_s: float = PATIENCE_S) -> None:
        self._probe = probe
        self._clock = clock
        self._patience_s = patience_s
        self._silent_s: float | None = None
        self._probing = threading.Lock()
        self._running = ThreadPoolExecutor(MOST, "statement")

    def run(self, call: Callable[[], T], left_s: float) -> T:
        """Return what the call does, for which so many seconds are left; raises QueryError if nobody answers."""
        # Who was silent is probed before anything else is asked.
        if self._silent_s is not None and not self._answers():
            raise self._silence()
        answer = self._running.submit(call)
        patience_s = min(self._patience_s, left_s * PATIENCE_SHARE)
        while not wait([answer], patience_s).done:
            # It may have come while the probe was out.
            if not (answer.done() or self._answers() or answer.done()):
                answer.cancel()  # if it has not begun, nobody needs it any more
                raise self._silence()
        return answer.result()

    def _answers(self) -> bool:
        """Probe, once for all who ask meanwhile; a silence is remembered for a while."""
        with self._probing:
            if self._silent_s is not None and self._clock() - self._silent_s < HOLD_S:
                return False
            self._silent_s = None if self._probe() else self._clock()
            return self._silent_s is None

    def _silence(self) -> Exception:
        return unavailable(f"ClickHouse does not answer: not even SELECT 1 within {PROBE_S:g} s")


def answers(clickhouse: Clickhouse) -> bool:
    """Probe a server by a client that waits for PROBE_S. A refusal, and that it has too much to do, are answers."""
    try:
        clickhouse.command("SELECT 1")
    except ClickhouseError:
        return True
    except Unavailable as error:
        return "Code: " in str(error)
    return True
