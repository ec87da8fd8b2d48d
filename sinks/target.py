"""Where blocks go, and when they are written."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """See the settings of the same names in jobs/settings.py."""

    clickhouse: str
    user: str
    password: str
    database: str
    block_rows: int
    block_delay_s: float
    fresh_tail_s: int
