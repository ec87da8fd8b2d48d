"""A block mixes tenants; each is told of its own rows, and of no other's."""

from typing import Any

import pyarrow as pa
import pytest

from schemas.codec import codec
from udfs.write.refused import refused_block

PLAIN = pa.table({"tenant": ["b", "a", "b", "c"]})


@pytest.mark.parametrize(
    ("block", "rows"),
    [
        (PLAIN, {"a": 1, "b": 2, "c": 1}),
        (PLAIN.slice(2), {"b": 1, "c": 1}),
        (pa.table({"tenant": PLAIN["tenant"].dictionary_encode()}).slice(2), {"b": 1, "c": 1}),
        (pa.concat_tables([PLAIN, PLAIN.slice(0, 1)]), {"a": 1, "b": 3, "c": 1}),
    ],
)
def test_each_tenant_is_told_of_its_own_rows(block: pa.Table, rows: dict[str, int]) -> None:
    told = list(refused_block("samples", block, ValueError("no" * 200), 9))
    records: list[dict[str, Any]] = [codec("rejected").decode(record) for _, record in told]
    assert [tenant for tenant, _ in told] == sorted(rows)
    assert {one["tenant"]: one["samples"] for one in records} == rows
    assert {(one["value"], one["limit"], one["received_at"]) for one in records} == {("no" * 128, "", 9)}
