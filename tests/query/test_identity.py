"""Which data an answer was made from: the cache outlives neither the tables nor their rows."""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
import redis

from query.app import of_settings
from query.clickhouse import ClickhouseStore
from query.inserts import itself
from query.settings import QuerySettings
from sinks.clickhouse import Clickhouse
from sinks.ddl import apply
from tests import embedded
from tests.notation import parse_series
from tests.query.client import Client, ask
from tests.query.test_store import LIMITS, START, M, write

H = 60 * M
NOW = START + 12 * H
ASKED = {"query": "sum(m)", "start": START / 1000, "end": (START + 5 * H) / 1000, "step": 60}


@pytest.fixture
def redis_port(redis_endpoint: str) -> int:
    port = int(redis_endpoint.rpartition(":")[2])
    with closing(redis.Redis(port=port)) as client:
        client.flushall()
    return port


@pytest.fixture
def clickhouse() -> Iterator[Clickhouse]:
    with closing(Clickhouse(embedded.endpoint(), database="default")) as one:
        yield one


def fill(database: str, value: int, name: str = "m") -> None:
    apply(embedded.endpoint(), "default", "", database)
    with closing(Clickhouse(embedded.endpoint(), database=database)) as client:
        write(client, "default", [parse_series(f"{name} {value}x300", M, START)])


def service(database: str, port: int, **more: Any) -> Client:
    settings = QuerySettings(
        clickhouse=embedded.endpoint(),
        clickhouse_database=database,
        redis=f"127.0.0.1:{port}",
        query_cache_timeout_s=2,
        **more,
    )
    return Client(of_settings(settings, lambda: NOW))


def values(api: Client) -> set[str]:
    status, body = ask(api, "/api/v1/query_range", **ASKED)
    assert status == 200, body
    return {value for one in body["data"]["result"] for _, value in one["values"]}


def test_two_databases_share_a_redis(redis_port: int, clickhouse: Clickhouse) -> None:
    for database, value in (("shared_a", 1), ("shared_b", 2)):
        fill(database, value)
        # Without memory nobody looks at what was written.
        with service(database, redis_port, query_cache_memory=0) as api:
            assert values(api) == values(api) == {str(value)}


def other_rows(clickhouse: Clickhouse, database: str) -> None:
    clickhouse.command(f"ALTER TABLE {database}.samples DELETE WHERE metric = 'm' SETTINGS mutations_sync = 2")


def other_tables(clickhouse: Clickhouse, database: str) -> None:
    clickhouse.command(f"DROP DATABASE {database} SYNC")
    fill(database, 5)
    fill(database, 1, "unrelated")


def other_samples(clickhouse: Clickhouse, database: str) -> None:
    clickhouse.command(f"TRUNCATE TABLE {database}.samples")
    fill(database, 5)


@pytest.mark.parametrize(("change", "now"), [(other_rows, set()), (other_tables, {"5"}), (other_samples, {"5"})])
def test_what_was_answered_before_is_not_said_again(
    redis_port: int, clickhouse: Clickhouse, change: Callable[[Clickhouse, str], None], now: set[str]
) -> None:
    database = f"before_{change.__name__}"
    fill(database, 1)
    fill(database, 1, "unrelated")
    with service(database, redis_port) as api:
        assert values(api) == values(api) == {"1"}
        change(clickhouse, database)
        assert values(api) == now
        fill(database, 3, "unrelated")
        assert values(api) == now
    with service(database, redis_port) as api:
        assert values(api) == now


def test_inserts_and_merges_make_no_other_table(clickhouse: Clickhouse) -> None:
    database = "identity"
    store = ClickhouseStore(Clickhouse(embedded.endpoint(), database=database), LIMITS)

    def said() -> tuple[int, int]:
        written = store.written()
        assert written is not None
        return written["samples"], itself(written["samples"])

    fill(database, 1)
    first = said()
    fill(database, 2)
    second = said()
    assert first[0] != second[0] and first[1] == second[1]
    clickhouse.command(f"OPTIMIZE TABLE {database}.samples FINAL")
    assert said() == second
    clickhouse.command(f"ALTER TABLE {database}.samples DELETE WHERE tenant = 'x' SETTINGS mutations_sync = 2")
    third = said()
    assert third[0] != second[0] and third[1] != second[1]
    fill(database, 3)
    fourth = said()
    assert third[0] != fourth[0] and third[1] == fourth[1]
    clickhouse.command(f"OPTIMIZE TABLE {database}.samples FINAL")
    assert said() == fourth
