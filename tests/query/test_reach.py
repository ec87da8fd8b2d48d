"""ClickHouse as the settings of the query service name it."""

from pydantic import SecretStr

from query.clickhouse import ALONE, SAID
from query.reach import opened
from query.settings import QuerySettings
from sinks.ddl import apply
from tests import embedded

DATABASE = "query_reach"


def test_a_read_only_user_too_says_how_answers_come() -> None:
    apply(embedded.endpoint(), "default", "", DATABASE)
    user, password = embedded.VIEWER
    settings = QuerySettings(
        clickhouse=embedded.endpoint(),
        clickhouse_user=user,
        clickhouse_password=SecretStr(password),
        clickhouse_database=DATABASE,
        query_compression="zstd",
        query_timeout_s=17,
    )
    with opened(settings) as (_, store):
        asked = "SELECT name, value FROM system.settings WHERE name IN {names:Array(String)}"
        answer = store.rows((asked, {"names": sorted(SAID)}), ALONE).to_pylist()
        assert store.written()
    said = {row["name"]: row["value"] for row in answer}
    assert said == {
        "max_execution_time": "17",
        "max_threads": "1",
        "output_format_arrow_compression_method": "zstd",
        "preferred_block_size_bytes": "16777216",
    }
