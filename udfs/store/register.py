"""Which series rows are due: every series once an hour of its own time, and at once when it is new.

Remembered by series set, so that an unchanged set costs one look-up. Writing a series twice does no harm.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from schemas.batch import Batch, Series, decode_series_set
from schemas.ids import set_hash

HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Due:
    """Series rows to write: (id, series) pairs seen within [first_seen, last_seen], ms since 1970 UTC."""

    tenant: str
    rows: list[tuple[int, Series]]
    first_seen: int
    last_seen: int


@dataclass(slots=True)
class Register:
    """Remembers the last `capacity` (set, hour) pairs, about 100 bytes each."""

    capacity: int = 200_000
    _written: "OrderedDict[tuple[bytes, int], None]" = field(default_factory=OrderedDict)

    def due(self, batch: Batch) -> Due | None:
        """Return what the batch makes due, or None. last_seen is the hour's end: no other row comes in it."""
        if batch.series_ids is None or not len(batch.timestamps):
            return None
        first, last = int(batch.timestamps.min()), int(batch.timestamps.max())
        hour = last - last % HOUR_MS
        key = (set_hash(batch.series_set + batch.tenant.encode()), hour)
        if key in self._written:
            self._written.move_to_end(key)
            return None
        self._written[key] = None
        if len(self._written) > self.capacity:
            self._written.popitem(last=False)
        rows = list(zip(batch.series_ids.tolist(), decode_series_set(batch.series_set), strict=True))
        return Due(batch.tenant, rows, first, hour + HOUR_MS - 1)
