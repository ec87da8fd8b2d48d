"""What the query service does to the real engine: as a user who may only read, and never beyond its time."""

import threading
import time
from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import pytest

from promql.columns import Matcher, Selector
from promql.grid import Grid
from query.app import build
from query.cache import NoCache
from query.clickhouse import ClickhouseStore
from query.errors import QueryError
from query.room import Held, Larger, Room
from query.settings import QuerySettings
from query.source import Limits
from query.spent import Spent, begin
from query.sql import GRID_SETTINGS, Statement
from query.tenants import OpenTenants
from schemas.batch import Series
from schemas.frame import Frame
from schemas.ids import series_id
from schemas.tiers import MINUTE
from sinks import rows
from sinks.clickhouse import Clickhouse
from sinks.refusal import ClickhouseError
from tests import embedded
from tests.query.client import Client
from tests.query.small import filled
from tests.query.test_store import START, H, M
from udfs.rollup.rows import rollup
from udfs.rollup.window import split

DATABASE = "query_engine"
LIMITS = Limits(1000, 100_000, 1_000_000, 20)


@pytest.fixture(scope="module")
def admin() -> Iterator[Clickhouse]:
    with filled(DATABASE) as client:
        yield client


@pytest.fixture(scope="module")
def reader(admin: Clickhouse) -> Iterator[Clickhouse]:
    client = Clickhouse(
        embedded.endpoint(),
        *embedded.VIEWER,
        DATABASE,
        attempts=1,
        always=frozenset({"max_execution_time", *GRID_SETTINGS}),
    )
    yield client
    client.close()


@pytest.fixture
def store(reader: Clickhouse) -> ClickhouseStore:
    return ClickhouseStore(reader, LIMITS)


@pytest.mark.parametrize(
    "text",
    [
        "sum(x) FROM (SELECT sipHash64(number) AS x FROM numbers(100000000000) ORDER BY x LIMIT 9)",
        "count() FROM numbers(1000000000000) WHERE sipHash64(number) % 7 = 3",
    ],
)
def test_clickhouse_ends_a_statement_when_the_time_is_over(store: ClickhouseStore, text: str) -> None:
    began = time.monotonic()
    begin(Spent(1.0, time.monotonic))
    with pytest.raises(QueryError) as caught:
        store.rows((f"SELECT {text}", {}))
    assert (caught.value.id, caught.value.status) == ("TG-query-timeout", 503)
    assert time.monotonic() - began < 15
    # Refused at once: there is no time left.
    with pytest.raises(QueryError, match="query timed out"):
        store.rows(("SELECT 1", {}))


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO samples SELECT * FROM samples",
        "DROP TABLE samples",
        "ALTER TABLE samples DELETE WHERE 1",
        "CREATE TABLE x (a Int8) ENGINE = Memory",
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT file('/etc/passwd')",
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
        "SELECT * FROM remote('127.0.0.1', system.one)",
        "SELECT * FROM s3('http://127.0.0.1:1/a', 'CSV')",
        "SELECT * FROM executable('id', 'TSV', 'x String')",
        "SELECT 1 INTO OUTFILE '/tmp/tidegauge-out'",
    ],
)
def test_the_reader_only_reads_and_only_tables(reader: Clickhouse, text: str) -> None:
    with pytest.raises(ClickhouseError):
        reader.command(text)


def test_a_selector_that_reads_too_much_is_refused_before_it_reads(reader: Clickhouse) -> None:
    asked = Selector("http", (), START - 1, START + H)
    low = ClickhouseStore(reader, Limits(1000, 100_000, 1_000_000, 20, rows=5))
    with pytest.raises(QueryError) as caught:
        low.source("t", 1).select(asked)
    assert (caught.value.id, caught.value.status) == ("TG-query-cost", 422)
    assert "TIDEGAUGE_QUERY_MAX_ROWS" in caught.value.message
    # Two series of three seconds cannot be too much: nothing is asked.
    few = Selector("http", (), START - 1, START + 1)
    assert len(low.source("t", 1).select(few).values) == 2
    enough = ClickhouseStore(reader, Limits(1000, 100_000, 1_000_000, 20, rows=100))
    assert len(enough.source("t", 1).select(asked).values) == 22


@pytest.mark.parametrize("matchers", [(), (("i", "!=", "none"),)])
def test_samples_have_room_before_they_are_read(reader: Clickhouse, matchers: tuple[Matcher, ...]) -> None:
    """Series take 2,000 bytes and 22 samples 1,408; a share is 2,500."""
    source = ClickhouseStore(reader, Limits(1000, 100_000, 1_000_000, 20)).source("t", 1)
    asked, room = Selector("http", matchers, START - 1, START + H), Room(20_000, 2)
    spent, other = Spent(20, time.monotonic), Held(room, "other")
    begin(spent)
    spent.held = Held(room, "t")
    assert len(source.select(asked).values) == 22
    # What the estimate was too high by is free again.
    other.keep(2500 + 15_000 - 1000)
    spent.held.leave()
    spent.again()
    other.keep(908)
    with pytest.raises(Larger):
        source.select(asked)


def test_samples_that_come_before_their_list_are_kept_or_read_again(
    reader: Clickhouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, limits = Selector("http", (), START - 1, START + H), Limits(1000, 100_000, 1_000_000, 20)
    source = ClickhouseStore(reader, limits).source("t", 1)

    def read() -> tuple[int, object]:
        spent = Spent(20, time.monotonic)
        begin(spent)
        found = source.select(asked)
        assert (spent.series, spent.samples) == (len(found.labels), len(found.values)) == (2, 22)
        assert 0 < spent.store_s < spent.elapsed_s
        return spent.statements, (
            found.labels,
            found.offsets.tolist(),
            found.timestamps.tolist(),
            found.values.tolist(),
        )

    both = read()
    monkeypatch.setattr("query.source.EARLY", 21)
    again = read()
    # With an estimate of what it takes to read them all.
    assert (both[0], again[0]) == (2, 4)
    assert both[1] == again[1]
    # The list's refusal, not that of the samples which came to nothing either.
    strict = ClickhouseStore(reader, Limits(1, 10, 1_000_000, 20)).source("t", 1)
    with pytest.raises(QueryError, match="TIDEGAUGE_QUERY_MAX_SERIES"):
        strict.select(asked)


@pytest.mark.parametrize("compression", ["lz4_frame", "zstd"])
def test_answers_may_come_compressed(reader: Clickhouse, compression: str) -> None:
    asked, limits = Selector("http", (), START - 1, START + H), Limits(1000, 100_000, 1_000_000, 20)
    packed = ClickhouseStore(reader, limits, compression).source("t", 1).select(asked)
    assert packed.values.tolist() == ClickhouseStore(reader, limits).source("t", 1).select(asked).values.tolist()


def test_the_samples_of_all_selectors_count(reader: Clickhouse) -> None:
    limited = ClickhouseStore(reader, Limits(1000, 30, 1_000_000, 20)).source("t", 1)
    asked = Selector("http", (), START - 1, START + H)
    assert len(limited.select(asked).values) == 22
    begin(Spent(20, time.monotonic))
    limited.select(asked)
    with pytest.raises(QueryError) as caught:
        limited.select(asked)
    assert (caught.value.id, caught.value.status) == ("TG-query-samples", 422)


def test_the_reader_may_use_functions_of_time_series(store: ClickhouseStore) -> None:
    grids = store.grids("t")
    assert grids is not None
    found = grids.cells(
        "max_over_time", Selector("http", (), START, START + 10 * M), Grid(START + M, START + 10 * M, M, M), 2 * M
    )
    assert found is not None and sorted(found.values[:, -1].tolist()) == [1.0, 10.0]


class Heavy(ClickhouseStore):
    """Its label values take for ever."""

    def label_values(self, *_: object) -> set[str]:
        self.rows(("SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) % 7 = 3", {}))
        raise AssertionError("it ended")


def test_the_engine_is_free_again_when_the_time_of_a_request_is_over(admin: Clickhouse, reader: Clickhouse) -> None:
    running = (
        "SELECT count() FROM system.processes WHERE query LIKE '%sipHash64(number)%' AND query NOT LIKE '%processes%'"
    )
    seen: list[int] = []
    answered = threading.Event()

    def watch() -> None:
        while not answered.wait(0.05):
            seen.append(int(admin.command(running)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    app = build(QuerySettings(), Heavy(reader, LIMITS), NoCache(), OpenTenants("t"), lambda: START)
    with Client(app) as api:
        began = time.monotonic()
        answer = api.get("/api/v1/label/x/values", params={"timeout": "1s"})
        assert time.monotonic() - began < 5
    answered.set()
    watcher.join()
    assert (answer.status_code, answer.json()["errorType"]) == (503, "timeout")
    assert max(seen) == 1, "it did run"
    until = time.monotonic() + 10
    while int(admin.command(running)) and time.monotonic() < until:
        time.sleep(0.05)
    assert int(admin.command(running)) == 0


def test_rows_of_tiers_are_limited_as_samples_are(admin: Clickhouse, reader: Clickhouse) -> None:
    ids = np.array([series_id("r", "g", [("i", str(i))]) for i in range(2)], np.uint64)
    series = [Series("g", (("i", str(i)),)) for i in range(2)]
    admin.insert("series", rows.series("r", list(zip(ids.tolist(), series, strict=True)), START, START + H))
    stamps = START + np.arange(1, 61, dtype=np.int64) * M
    frame = Frame("r", 0, ["g"], np.zeros(2, np.uint32), ids, stamps, np.ones((60, 2)))
    for window, part in split(frame, M):
        made = rollup([part], window)
        assert made is not None
        admin.insert("rollup_1m", rows.rollup(made))
    asked = Selector("g", (), START, START + H)

    def read(limits: Limits, times: int) -> int:
        begin(Spent(20, time.monotonic))
        tier = ClickhouseStore(reader, limits).rolled("r", 1, MINUTE)
        return sum(len(tier.rows(asked, frozenset({"sum"})).ends) for _ in range(times))

    assert read(Limits(1000, 300, 1_000_000, 20), 2) == 240
    for limits, times, error_id in (
        (Limits(1000, 100, 1_000_000, 20), 1, "TG-query-samples"),  # one selector's
        (Limits(1000, 200, 1_000_000, 20), 2, "TG-query-samples"),  # all selectors'
        (Limits(1000, 300, 1_000_000, 20, rows=50), 1, "TG-query-cost"),  # before reading
    ):
        with pytest.raises(QueryError) as caught:
            read(limits, times)
        assert (caught.value.id, caught.value.status) == (error_id, 422)


def test_series_are_asked_once_in_a_request(reader: Clickhouse) -> None:
    class Counted(ClickhouseStore):
        asked = 0

        def rows(self, statement: Statement, settings: Mapping[str, str] | None = None) -> pa.Table:
            self.asked += "FROM series" in statement[0]
            return super().rows(statement, settings)

    def read(store: Counted, *starts: int) -> list[int]:
        source = store.source("t", 1)
        return [len(source.select(Selector("http", (), start, START + H)).values) for start in starts]

    store = Counted(reader, LIMITS)
    begin(Spent(20, time.monotonic))
    assert (read(store, START - M, START, START - M), store.asked) == ([22, 20, 22], 1)
    # An earlier start may have series that have ended since.
    assert (read(store, START - 2 * M), store.asked) == ([22], 2)
    store.source("u", 1).select(Selector("http", (), START, START + H))
    store.source("t", 1).select(Selector("http", (("job", "=", "db"),), START, START + H))
    assert store.asked == 4
    begin(Spent(20, time.monotonic))
    assert (read(store, START), store.asked) == ([20], 5)
