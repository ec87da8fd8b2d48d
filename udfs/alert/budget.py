"""What one key of a rule may cost before the rule is paused there."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits of one key. series: in its window, or in its answer; bytes: of the window; seconds: of one evaluation.

    A key that is over is paused for pause_ms of event time, then tried again.
    """

    series: int = 1_000_000
    bytes: int = 256 << 20
    seconds: float = 10.0
    pause_ms: int = 600_000

    def size(self, series: int, size_bytes: int) -> str:
        """Return why a window or an answer is too large, "" if it is not."""
        if series > self.series:
            return f"TG-rule-series: {series} series; at most {self.series} (TIDEGAUGE_ALERT_MAX_SERIES)"
        if size_bytes > self.bytes:
            return f"TG-rule-bytes: a window of {size_bytes} bytes; at most {self.bytes} (TIDEGAUGE_ALERT_MAX_BYTES)"
        return ""

    def time(self, seconds: float) -> str:
        """Return why an evaluation took too long, "" if it did not."""
        if seconds <= self.seconds:
            return ""
        limit = f"{self.seconds:g} s (TIDEGAUGE_ALERT_MAX_SECONDS)"
        return f"TG-rule-time: evaluations took {seconds:.1f} s and more; at most {limit}"
