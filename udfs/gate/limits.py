"""What the gate accepts."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one batch; each is a setting of the same name with the prefix TIDEGAUGE_GATE_.

    The last three come from the tenant's policy only: names in any UTF-8, time by the server's clock if the source's is
    off, and the names of those of the others that the policy has.
    """

    max_record_bytes: int = 8 << 20
    max_series_per_batch: int = 100_000
    max_labels: int = 20
    max_name_length: int = 200
    max_label_value_length: int = 2048
    future_grace_s: int = 600
    tolerance_s: int = 7200
    max_centroids: int = 4096
    utf8: bool = False
    server_clock: bool = False
    own: frozenset[str] = frozenset()

    def setting(self, name: str) -> str | None:
        """Return what changes a limit if it is the tenant's policy, None if it is the setting."""
        return f"{name} in the tenant's policy" if name in self.own else None
