"""Which series of a tenant count, and when each was last seen: sorted columns, 21 bytes a series.

New series go to a small level that is merged into the large one when it is full, so that adding a few to a million
costs microseconds, not a copy of the million.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from schemas.columns import Int64s, UInt32s, UInt64s
from schemas.nan import Mask
from schemas.runs import last_of_run

UInt8s = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.intp]

_SMALL = 16_384


@dataclass(slots=True)
class Level:
    """Columns of one length, sorted by id. codes: the metric; overflow: 1 for a folded series."""

    ids: UInt64s = field(default_factory=lambda: np.empty(0, np.uint64))
    codes: UInt32s = field(default_factory=lambda: np.empty(0, np.uint32))
    overflow: UInt8s = field(default_factory=lambda: np.empty(0, np.uint8))
    epochs: Int64s = field(default_factory=lambda: np.empty(0, np.int64))

    def __len__(self) -> int:
        return len(self.ids)

    def find(self, ids: UInt64s) -> tuple[Positions, Mask]:
        """Return for each id its place, and whether it is there."""
        places = np.searchsorted(self.ids, ids)
        if not len(self):
            return places, np.zeros(len(ids), dtype=bool)
        places[places == len(self)] = 0
        return places, self.ids[places] == ids

    def where(self, kept: Mask | Positions) -> "Level":
        """Return the masked rows, or those at the positions."""
        return Level(self.ids[kept], self.codes[kept], self.overflow[kept], self.epochs[kept])

    @classmethod
    def latest(cls, parts: Sequence["Level"]) -> "Level":
        """Return of each id the row of the last part that has one; parts need not be sorted."""
        if not parts:
            return cls()
        ids = np.concatenate([part.ids for part in parts])
        order = np.argsort(ids, kind="stable")
        rows = cls(
            ids,
            np.concatenate([part.codes for part in parts]),
            np.concatenate([part.overflow for part in parts]),
            np.concatenate([part.epochs for part in parts]),
        )
        return rows.where(order[last_of_run(ids[order])])

    def with_rows(self, more: "Level") -> "Level":
        """Return both; no id may be in both, and more need not be sorted."""
        ids = np.concatenate([self.ids, more.ids])
        order = np.argsort(ids, kind="stable")
        return Level(
            ids[order],
            np.concatenate([self.codes, more.codes])[order],
            np.concatenate([self.overflow, more.overflow])[order],
            np.concatenate([self.epochs, more.epochs])[order],
        )


@dataclass(slots=True)
class Members:
    """The series of one tenant."""

    _large: Level = field(default_factory=Level)
    _small: Level = field(default_factory=Level)

    def __len__(self) -> int:
        return len(self._large) + len(self._small)

    def touch(self, ids: UInt64s, epoch: int) -> tuple[Mask, Mask]:
        """Mark ids as seen in an epoch; return (which are members, which of them were last seen in another)."""
        known = np.zeros(len(ids), dtype=bool)
        renewed = np.zeros(len(ids), dtype=bool)
        for level in (self._large, self._small):
            places, found = level.find(ids)
            known |= found
            mine = places[found]
            renewed[found] = level.epochs[mine] != epoch
            level.epochs[mine] = epoch
        return known, renewed

    def rows_of(self, ids: UInt64s) -> Level:
        """Return the rows of ids that are members, in the order of the columns."""
        parts = [level.where(np.isin(level.ids, ids)) for level in (self._large, self._small)]
        return parts[0].with_rows(parts[1])

    def add(self, rows: Level) -> None:
        """Add rows whose ids are not members."""
        if len(rows):
            self._small = self._small.with_rows(rows)
            if len(self._small) > max(_SMALL, len(self._large) // 64):
                self._large, self._small = self._large.with_rows(self._small), Level()

    @classmethod
    def restore(cls, parts: Sequence[Level]) -> "Members":
        """Return the series of all parts, a later row in place of an earlier one: how state is read back."""
        return cls(Level.latest(parts))

    def expire(self, oldest: int) -> None:
        """Forget what was last seen before an epoch."""
        self._large, self._small = self._large.with_rows(self._small), Level()
        if len(self._large) and int(self._large.epochs.min()) < oldest:
            self._large = self._large.where(self._large.epochs >= oldest)

    def rebase(self, old_ms: int, new_ms: int, latest: int) -> None:
        """Translate epochs into those of another length."""
        for level in (self._large, self._small):
            level.epochs = rebased(level.epochs, old_ms, new_ms, latest)

    def recode(self) -> list[int]:
        """Make codes dense; return the old code of each new one."""
        self._large, self._small = self._large.with_rows(self._small), Level()
        used, codes = np.unique(self._large.codes, return_inverse=True)
        self._large.codes = codes.astype(np.uint32)
        found: list[int] = used.tolist()
        return found

    def rows(self) -> Level:
        """Return all rows."""
        return self._large.with_rows(self._small)


def rebased(epochs: Int64s, old_ms: int, new_ms: int, latest: int) -> Int64s:
    """Return epochs in those of another length: of what lies within an old one the last, but none after latest."""
    # Whoever is active is seen once an epoch: the old one's end is when that may have been last.
    return np.minimum(((epochs + 1) * old_ms - 1) // new_ms, latest)
