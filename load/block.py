"""Lines of a file that are written to ClickHouse together, and their rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from load.jsonl import Line
from schemas.batch import Series
from schemas.columns import Int64s, UInt32s
from schemas.frame import Frame
from schemas.ids import series_id
from schemas.runs import last_of_run
from sinks import rows

DAY_MS = 86_400_000
# ClickHouse refuses an insert into more than 100 partitions, and samples has one a day.
DAYS_AT_ONCE = 90


@dataclass(slots=True)
class Block:
    """Lines collected for one write."""

    tenant: str
    lines: list[Line] = field(default_factory=list)
    samples: int = 0

    def add(self, line: Line) -> None:
        """Take a line in."""
        self.lines.append(line)
        self.samples += len(line.timestamps)

    def frame(self) -> Frame:
        """Return the samples of all lines; a series that stands in several lines is one series.

        Of samples with one series and time the last stands, as in table samples and behind the gate: rollups would
        take the largest.
        """
        ids: dict[int, int] = {}
        metrics: dict[str, int] = {}
        codes, index = [], []
        for line in self.lines:
            identity = series_id(self.tenant, line.series.name, line.series.labels)
            if identity not in ids:
                ids[identity] = len(ids)
                codes.append(metrics.setdefault(line.series.name, len(metrics)))
            index.append(np.full(len(line.timestamps), ids[identity], dtype=np.uint32))
        places, stamps = np.concatenate(index), np.concatenate([line.timestamps for line in self.lines])
        kept = _standing(places, stamps)
        return Frame(
            tenant=self.tenant,
            shard=0,
            metrics=list(metrics),
            metric_codes=np.array(codes, dtype=np.uint32),
            series_ids=np.array(list(ids), dtype=np.uint64),
            timestamps=stamps[kept],
            values=np.concatenate([line.values for line in self.lines])[kept],
            index=places[kept],
        )

    def series(self) -> list[tuple[int, Series, int, int]]:
        """Return (id, series, first ms, last ms) of every series that has a sample."""
        found: dict[int, tuple[int, Series, int, int]] = {}
        for line in self.lines:
            if not len(line.timestamps):
                continue
            identity = series_id(self.tenant, line.series.name, line.series.labels)
            first, last = int(line.timestamps.min()), int(line.timestamps.max())
            if identity in found:
                first, last = min(first, found[identity][2]), max(last, found[identity][3])
            found[identity] = (identity, line.series, first, last)
        return list(found.values())


def _standing(places: UInt32s, stamps: Int64s) -> slice | npt.NDArray[np.intp]:
    """Return which samples stand, in their order: of those with one series and time the last."""
    order = np.lexsort((stamps, places))
    kept = last_of_run(places[order], stamps[order])
    return slice(None) if kept.all() else np.sort(order[kept])


def series_rows(tenant: str, found: Sequence[tuple[int, Series, int, int]]) -> pa.Table:
    """Return the rows of table series, each with its own first and last time."""
    table = rows.series(tenant, [(identity, series) for identity, series, _, _ in found], 0, 0)
    times = {identity: (first, last) for identity, _, first, last in found}
    order = [times[identity] for identity in table["series_id"].to_pylist()]
    for place, name in enumerate(("first_seen", "last_seen")):
        stamps = pa.array(np.array([pair[place] for pair in order], dtype=np.int64)).cast(pa.timestamp("ms", tz="UTC"))
        table = table.set_column(table.schema.get_field_index(name), name, stamps)
    return table


def by_days(block: pa.Table) -> Iterator[pa.Table]:
    """Yield the rows of a block in parts of at most DAYS_AT_ONCE partitions."""
    days = np.floor_divide(np.asarray(block["ts"].cast(pa.int64())), DAY_MS)
    distinct = np.unique(days)
    if len(distinct) <= DAYS_AT_ONCE:
        yield block
        return
    for start in range(0, len(distinct), DAYS_AT_ONCE):
        part = distinct[start : start + DAYS_AT_ONCE]
        yield block.filter(pa.array((days >= part[0]) & (days <= part[-1])))
