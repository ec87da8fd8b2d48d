"""A block that ClickHouse will never take, as the records that say so."""

from collections import Counter
from collections.abc import Iterator

import pyarrow as pa

from schemas.codec import codec
from schemas.reason import Reason


def refused_block(table: str, block: pa.Table, error: Exception, now: int) -> Iterator[tuple[str, bytes]]:
    """Yield (tenant, Rejected record) for metrics.rejected, one per tenant of the block, sorted; now in ms since 1970.

    samples are the tenant's own rows. Whose row it was that ClickHouse would not take, the error need not say.
    """
    for tenant, rows in sorted(Counter(block["tenant"].to_pylist()).items()):
        record = codec("rejected").encode(
            {
                "tenant": tenant,
                "source": f"block for {table}",
                "id": Reason.REFUSED_BLOCK.id,
                "message": f"{Reason.REFUSED_BLOCK.meaning}: {error}",
                "value": str(error)[:256],
                "limit": "",
                "setting": "",
                "series": 0,
                "samples": rows,
                "received_at": now,
                "sample": b"",
                "partition": -1,
                "offset": -1,
            }
        )
        yield tenant, record
