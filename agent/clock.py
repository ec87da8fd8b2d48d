"""How far this machine's clock is off the broker's, as the broker's stamps on what it took tell."""

import logging
import time

log = logging.getLogger("tidegauge.agent")

MOST_MS = 60_000
"""As for the gate's TG-clock-skew."""


def now_ms() -> int:
    """Return this machine's time, ms since 1970 UTC."""
    return time.time_ns() // 1_000_000


class Clock:
    """Tells once when this machine's clock is surely off by more than a minute, and once when it surely is not."""

    def __init__(self) -> None:
        self.off_ms = 0

    def taken(self, sent_ms: int, stamp_ms: int, taken_ms: int) -> None:
        """Judge by a record's stamp of the broker, and when it was given away and known to be taken by this clock."""
        least, most = sent_ms - stamp_ms, taken_ms - stamp_ms  # so far this clock is ahead
        was = self.off_ms
        if least > MOST_MS:
            self.off_ms = least
        elif most < -MOST_MS:
            self.off_ms = most
        elif least >= -MOST_MS and most <= MOST_MS:
            self.off_ms = 0
        if self.off_ms and (not was or (was > 0) != (self.off_ms > 0)):
            log.error(
                "TG-agent-clock: this machine's clock is %s the broker's; the gate refuses what is too far off "
                "(TG-too-future, TG-too-old), though it counts as sent: set the clock (timedatectl set-ntp true)",
                self.text(),
            )
        elif was and not self.off_ms:
            log.info("the clock agrees with the broker's again")

    def text(self) -> str:
        """Return how far it is off in words; empty if it is not."""
        if not self.off_ms:
            return ""
        return f"{abs(self.off_ms) / 1000:.0f} s {'ahead of' if self.off_ms > 0 else 'behind'}"
