"""The tiers of rollups: one width of window and one table each, every one made of the finer before it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tier:
    """A tier by its name in tables and settings; width_ms divides the next tier's."""

    name: str
    width_ms: int

    @property
    def table(self) -> str:
        """Return the table of its rows."""
        return f"rollup_{self.name}"


MINUTE = Tier("1m", 60_000)
TIERS = (MINUTE, Tier("5m", 300_000), Tier("1h", 3_600_000), Tier("1d", 86_400_000))


def upto(coarsest: str) -> tuple[Tier, ...]:
    """Return the tiers from the minute to the one of that name; raises ValueError if there is none."""
    return TIERS[: [tier.name for tier in TIERS].index(coarsest) + 1]
