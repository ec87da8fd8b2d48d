"""Which series rows are due: every series once an hour of its own time, at once when it is new or has older samples.

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
    """Remembers (first_seen, last_seen) as written for the last `capacity` sets, about 240 bytes each."""

    capacity: int = 200_000
    _written: "OrderedDict[bytes, tuple[int, int]]" = field(default_factory=OrderedDict)

    def due(self, batch: Batch) -> Due | None:
        """Return what the batch makes due, or None. last_seen is an hour's end: no other row comes in it.

        A row tells of all that is remembered of its set: queries look at single rows, and a time between two of them
        would be in neither.
        """
        if batch.series_ids is None or not len(batch.timestamps):
            return None
        first, last = int(batch.timestamps.min()), int(batch.timestamps.max())
        key = set_hash(batch.series_set + batch.tenant.encode())
        since, until = self._written.get(key, (first, first - 1))
        if since <= first and last <= until:
            self._written.move_to_end(key)
            return None
        since, until = min(since, first), max(until, last - last % HOUR_MS + HOUR_MS - 1)
        self._written[key] = since, until
        self._written.move_to_end(key)
        if len(self._written) > self.capacity:
            self._written.popitem(last=False)
        rows = list(zip(batch.series_ids.tolist(), decode_series_set(batch.series_set), strict=True))
        return Due(batch.tenant, rows, since, until)
