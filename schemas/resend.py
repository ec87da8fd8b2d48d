"""How often an alert that fires is said again in alert.events, and how long what was said holds: its ends_at."""

# As Prometheus's --rules.alert.resend-delay.
RESEND_MS = 60_000


def holds_ms(interval_ms: int) -> int:
    """Return how far ahead of its tick an event's ends_at lies, for a rule of this interval; ms.

    Prometheus's: a receiver may miss three resends in a row before it takes the alert to be over.
    """
    return 4 * max(RESEND_MS, interval_ms)
