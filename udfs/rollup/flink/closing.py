"""What a tier does with the payloads of a pane: the first has frames, every other the rows of the finer one."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import pyarrow as pa

from schemas.columns import UInt64s
from schemas.frame import Frame
from schemas.nan import MISSING, Mask
from schemas.tiers import MINUTE, Tier
from sinks import rows
from sinks.rollups import of_table
from udfs.rollup.distribution import distributions
from udfs.rollup.distribution import rollup as roll_distributions
from udfs.rollup.merge import merge
from udfs.rollup.rows import rollup

# Bytes of a pane, as it lies in state, that are merged at once. It takes thirty times as many; more is no quicker.
_AT_ONCE = 8 << 20
# Of one block: some 10 MB at most, of which Flink holds several copies.
_ROWS = 10_000
# Of one late frame of rows: 1 MB, of the 9 that Kafka's sink takes.
_SERIES = 50_000


class Payloads(Protocol):
    """What a pane holds. It may be more than fits in memory: one is read when it is asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, place: int, /) -> bytes: ...

    def __iter__(self) -> Iterator[bytes]: ...


class Closing(Protocol):
    """What a tier does with the payloads of a pane. apart: they are large, and lie in state one by one."""

    tier: Tier
    apart: bool

    def rows(self, window: int, payloads: Payloads) -> Iterator[pa.Table]:
        """Yield the rows of a shard's closed window, each series in one of the tables; none if it holds no value."""
        ...

    def sources(self, payloads: Payloads) -> UInt64s:
        """Return the hashes of a tenant's sources."""
        ...

    def late(self, key: str, payload: bytes) -> Iterator[bytes]:
        """Yield the frames that tell the reroll job of a payload that came too late."""
        ...


class OfFrames:
    """The first tier: payloads are frames, and hashes of sources."""

    tier = MINUTE
    apart = False

    def rows(self, window: int, payloads: Payloads) -> Iterator[pa.Table]:
        """Roll the frames up: plain ones and those of distributions each by their own rule."""
        frames = [Frame.decode(payload) for payload in payloads]
        plain = [frame for frame in frames if frame.weights is None]
        made = [] if not plain else [rollup(plain, window)]
        if len(plain) < len(frames):
            many = distributions([frame for frame in frames if frame.weights is not None])
            made.append(None if many is None else roll_distributions(many, window))
        tables = [rows.rollup(one) for one in made if one is not None]
        if tables:
            yield pa.concat_tables(tables).unify_dictionaries() if len(tables) > 1 else tables[0]

    def sources(self, payloads: Payloads) -> UInt64s:
        """Return each hash once."""
        found: UInt64s = np.unique(np.frombuffer(b"".join(payloads), "<u8"))
        return found

    def late(self, key: str, payload: bytes) -> Iterator[bytes]:
        """Yield the late frame itself."""
        yield payload


class OfRows:
    """A coarser tier: payloads are what the finer one closed, as Arrow."""

    apart = True

    def __init__(self, tier: Tier) -> None:
        self.tier = tier

    def rows(self, window: int, payloads: Payloads) -> Iterator[pa.Table]:
        """Merge the finer rows: of a large pane some series at a time, since merging takes many times their bytes."""
        small: list[pa.Table] = []
        known: list[UInt64s] = []
        size = 0
        for payload in payloads:
            size += len(payload)
            table = rows.unpack([payload])
            small.append(table)
            if size > _AT_ONCE:
                small.clear()
            known.append(table["series_id"].to_numpy())
        if small:
            yield _merged(small, window)
            return
        spans = [(int(ids.min()), int(ids.max())) for ids in known]
        ids = np.unique(np.concatenate(known))
        for some in np.array_split(ids, min(-(-size // _AT_ONCE), len(ids))):
            first, last = some[0], some[-1]
            touched = [place for place, (low, high) in enumerate(spans) if low <= last and high >= first]
            yield _merged([_between(rows.unpack([payloads[place]]), first, last) for place in touched], window)

    def sources(self, payloads: Payloads) -> UInt64s:
        """Return each hash once."""
        lists = rows.unpack(list(payloads))["sources"].combine_chunks()
        found: UInt64s = np.unique(lists.flatten().to_numpy().astype(np.uint64, copy=False))
        return found

    def late(self, key: str, payload: bytes) -> Iterator[bytes]:
        """Yield frames without samples: they mark the rows' window as dirty."""
        (part,) = of_table(rows.unpack([payload]))
        shard = int(key.split("/")[-2])
        stamps = np.array([part.window + 1], dtype=np.int64)
        for first in range(0, len(part), _SERIES):
            ids, codes = part.series_ids[first : first + _SERIES], part.metric_codes[first : first + _SERIES]
            cells = np.repeat(MISSING, len(ids)).reshape(1, len(ids))
            yield Frame(part.tenant, shard, part.metrics, codes, ids, stamps, cells).encode()


def blocks(table: pa.Table) -> Iterator[pa.Table]:
    """Yield the rows in blocks, each of series whose ids are neighbours: a coarser tier merges some ids at a time."""
    if table.num_rows <= _ROWS:
        yield table
        return
    places = np.empty(table.num_rows, np.int64)
    places[np.argsort(table["series_id"].to_numpy(), kind="stable")] = np.arange(table.num_rows)
    for first in range(0, table.num_rows, _ROWS):
        yield _chosen(table, (places >= first) & (places < first + _ROWS))


def _between(table: pa.Table, first: np.uint64, last: np.uint64) -> pa.Table:
    """Return the rows of the series from one id to another."""
    ids = table["series_id"].to_numpy()
    return _chosen(table, (ids >= first) & (ids <= last))


def _chosen(table: pa.Table, mask: Mask) -> pa.Table:
    """Return some rows, with the names of their metrics alone: where each series has its own, all are megabytes."""
    some = table.filter(pa.array(mask))
    metric = some.schema.field("metric")
    names = some["metric"].cast(pa.string()).dictionary_encode().cast(metric.type)
    return some.set_column(some.schema.get_field_index("metric"), metric, names)


def _merged(tables: list[pa.Table], window: int) -> pa.Table:
    return rows.rollup(merge(of_table(pa.concat_tables(tables).unify_dictionaries()), window))
