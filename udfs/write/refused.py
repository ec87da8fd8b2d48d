"""A block that ClickHouse will never take, as the record that says so."""

import pyarrow as pa

from schemas.codec import codec
from schemas.reason import Reason


def refused_block(table: str, block: pa.Table, error: Exception, now: int) -> tuple[str, bytes]:
    """Return (tenant, Rejected record) for metrics.rejected; now in ms since 1970 UTC."""
    tenant: str = block["tenant"][0].as_py()
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
            "samples": block.num_rows,
            "received_at": now,
            "sample": b"",
        }
    )
    return tenant, record
