"""ClickHouse as the settings of the query service name it: for the service, and for commands that read as it does."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from query.clickhouse import SAID, ClickhouseStore
from query.settings import QuerySettings
from query.source import Limits
from sinks.clickhouse import Clickhouse


def connect(
    settings: QuerySettings, attempts: int, timeout_s: float = 60.0, always: frozenset[str] = SAID
) -> Clickhouse:
    """Return a client; attempts, timeout_s, always: as of Clickhouse."""
    return Clickhouse(
        settings.clickhouse,
        settings.clickhouse_user,
        settings.clickhouse_password.get_secret_value(),
        settings.clickhouse_database,
        attempts=attempts,
        timeout_s=timeout_s,
        always=always,
    )


def limits(settings: QuerySettings) -> Limits:
    """Return what one query may cost."""
    return Limits(
        settings.query_max_series,
        settings.query_max_samples,
        settings.query_max_cells,
        settings.query_timeout_s,
        settings.query_max_rows,
    )


@contextmanager
def opened(settings: QuerySettings) -> Iterator[tuple[Clickhouse, ClickhouseStore]]:
    """Yield a client and the store over it to a command, which may wait longer than people who look at a page."""
    with closing(connect(settings, attempts=3)) as clickhouse:
        yield clickhouse, ClickhouseStore(clickhouse, limits(settings), settings.query_compression)
