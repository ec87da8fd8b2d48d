"""A few series of two tenants in a database of the embedded engine."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from sinks.clickhouse import Clickhouse
from sinks.ddl import apply
from tests import embedded
from tests.notation import parse_series
from tests.query.test_store import START, M, write

LINES = ('http{job="api", path="/"} 0+1x10', 'http{job="db"} 1x10', 'temp{room="ü"} 5', 'temp{room="b"} 5')


@contextmanager
def filled(database: str) -> Iterator[Clickhouse]:
    """Yield a client of one who may write; tenant t has LINES, tenant u a secret."""
    apply(embedded.endpoint(), "default", "", database)
    with closing(Clickhouse(embedded.endpoint(), database=database)) as client:
        write(client, "t", [parse_series(line, M, START) for line in LINES])
        write(client, "u", [parse_series("secret 1", M, START)])
        yield client
