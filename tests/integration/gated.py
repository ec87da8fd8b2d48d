"""What goes through the gate under policies: a tenant's batches, and the ledger's account of them."""

from typing import Any

import numpy as np

from schemas.batch import Batch, Series, encode_series_set
from tests.integration.pipeline import Pipeline, now_ms

LEDGER = """
SELECT sum(received) AS received, sum(forwarded) AS forwarded, sum(folded) AS folded, sum(merged) AS merged,
    sum(shed) AS shed, sumMap(rejected_by_id) AS rejected, sumMap(would) AS would, sum(missing) AS missing
FROM v_ledger WHERE tenant = {tenant:String}
"""


def batch(tenant: str, users: list[str], source: str = "s", at: int = 0) -> bytes:
    rows = [Series("hits", (("method", "GET"), ("user", user))) for user in users]
    at = at or now_ms()
    return Batch(tenant, source, now_ms(), encode_series_set(rows), np.array([at]), np.ones((1, len(rows)))).encode()


def account(pipeline: Pipeline, tenant: str) -> dict[str, Any]:
    row = pipeline.rows(LEDGER, tenant=tenant)[0]
    return {name: dict(value) if isinstance(value, list) else value for name, value in row.items()}
