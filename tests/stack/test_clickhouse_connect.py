"""The embedded ClickHouse as clickhouse-connect uses it."""

import http.client
from datetime import UTC, datetime

import clickhouse_connect
import numpy as np
import pyarrow as pa
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, StreamFailureError

from tests import embedded
from tests.stack.client import ask, fresh

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("compress", [False, "lz4", "zstd", "gzip"])
def test_clickhouse_connect(compress: bool | str) -> None:
    host, port = embedded.endpoint().split(":")
    client = clickhouse_connect.get_client(host=host, port=int(port), compress=compress)
    table = fresh("client", "a UInt64, b LowCardinality(String), c Array(Float64), t DateTime64(3, 'UTC')")
    count = 100_000
    stamps = pa.array(np.arange(count) * 1000).cast(pa.timestamp("ms", tz="UTC"))
    rows = pa.table({"a": np.arange(count, dtype=np.uint64), "b": ["x"] * count, "c": [[0.5]] * count, "t": stamps})
    assert client.insert_arrow(table, rows).written_rows == count
    assert client.insert(table, [[1, "y", [2.0], EPOCH]]).written_rows == 1
    assert client.query(f"SELECT count(), sum(a) FROM {table}").result_rows == [
        (count + 1, count * (count - 1) // 2 + 1)
    ]
    assert client.query_arrow(f"SELECT * FROM {table}").num_rows == count + 1
    assert len(client.query(f"SELECT * FROM {table}").result_rows) == count + 1
    hostile = 'it\'s "a" \\ \t\n{x:String}é'
    asked = client.query("SELECT {s:String}, {n:Array(UInt8)}", parameters={"s": hostile, "n": [1, 2]})
    assert asked.result_rows == [(hostile, [1, 2])]
    assert client.query(f"SELECT * FROM {table} LIMIT 0").column_names == ("a", "b", "c", "t")
    assert client.command("SELECT 1") == 1
    with client.query_row_block_stream("SELECT number FROM numbers(500000)") as stream:
        assert sum(len(block) for block in stream) == 500_000
    with pytest.raises(DatabaseError, match="47"):
        client.query("SELECT nonesuch")
    client.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("compress", [False, "lz4", "gzip"])
def test_an_error_in_the_middle_of_an_answer_is_seen(compress: bool | str) -> None:
    host, port = embedded.endpoint().split(":")
    client = clickhouse_connect.get_client(host=host, port=int(port), compress=compress)
    with pytest.raises(StreamFailureError, match="throwIf"):
        assert client.query("SELECT throwIf(number = 3000000) FROM numbers(4000000)").result_rows
    client.close()
    with pytest.raises(http.client.IncompleteRead):
        ask("SELECT throwIf(number = 3000000) FROM numbers(4000000)")
