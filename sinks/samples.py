"""Raw samples back out of ClickHouse, as a frame: what the reroll job recomputes a window from."""

import numpy as np

from schemas.batch import Frame, UInt32s, UInt64s
from sinks.clickhouse import Clickhouse

# Names travel in the request's address, whose length is bounded.
_NAMES_A_QUERY = 200

# FINAL is not asked for: repeats are dropped when the window is computed.
_WINDOW = """
SELECT metric, series_id, ts, value
FROM samples
WHERE tenant = {tenant:String}
  AND metric IN {metrics:Array(String)}
  AND series_id % {shards:UInt64} = {shard:UInt64}
  AND ts >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')
  AND ts < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
"""


def window(clickhouse: Clickhouse, late: Frame, shards: int, start: int, end: int) -> Frame:
    """Return all stored samples of the frame's series with start <= ts < end (ms), sparse."""
    codes, ids, stamps, values = [], [], [], []
    for first in range(0, len(late.metrics), _NAMES_A_QUERY):
        names = late.metrics[first : first + _NAMES_A_QUERY]
        table = clickhouse.query(
            _WINDOW,
            {
                "tenant": late.tenant,
                "metrics": names,
                "shards": shards,
                "shard": late.shard,
                "start": start,
                "end": end,
            },
        )
        found = table["series_id"].to_numpy()
        wanted = np.isin(found, late.series_ids)
        ids.append(found[wanted])
        codes.append(_codes(late, found[wanted]))
        stamps.append(table["ts"].cast("timestamp[ms]").cast("int64").to_numpy()[wanted])
        values.append(table["value"].to_numpy()[wanted])
    rows = np.concatenate(ids)
    unique, position, index = np.unique(rows, return_index=True, return_inverse=True)
    return Frame(
        late.tenant,
        late.shard,
        late.metrics,
        np.concatenate(codes)[position],
        unique,
        np.concatenate(stamps),
        np.concatenate(values),
        index.astype(np.uint32),
    )


def _codes(late: Frame, ids: UInt64s) -> UInt32s:
    """Return the metric code of each id, from the late frame that names it."""
    order = np.argsort(late.series_ids)
    codes: UInt32s = late.metric_codes[order[np.searchsorted(late.series_ids, ids, sorter=order)]]
    return codes
