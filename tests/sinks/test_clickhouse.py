"""The client against the real embedded server."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pytest

from schemas.frame import Frame
from schemas.nan import MISSING_BITS, NORMAL_BITS, STALE_BITS, Floats
from sinks import rows
from sinks.clickhouse import AddressError, Clickhouse, Value
from sinks.ddl import apply
from sinks.refusal import ClickhouseError, RefusedBlock, Unavailable
from tests import embedded

HOSTILE = 'it\'s "a" \\ `b`\t\n\r\0é{x:String}[],%'


@pytest.fixture(scope="module")
def clickhouse() -> Iterator[Clickhouse]:
    apply(embedded.endpoint(), "default", "", "sinks_clickhouse")
    client = Clickhouse(embedded.endpoint(), database="sinks_clickhouse")
    yield client
    client.close()


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (HOSTILE, "String"),
        ("", "String"),
        ([HOSTILE, "", "x"], "Array(String)"),
        ([], "Array(String)"),
        ([1, 2**64 - 1], "Array(UInt64)"),
        (2**64 - 1, "UInt64"),
        (-(2**63), "Int64"),
        (5e-324, "Float64"),
        (float("-inf"), "Float64"),
        (True, "Bool"),
    ],
)
def test_parameters_come_back_as_they_went(clickhouse: Clickhouse, value: Value, kind: str) -> None:
    assert clickhouse.query(f"SELECT {{x:{kind}}} AS x", {"x": value})["x"].to_pylist() == [value]


def test_parameters_too_long_for_a_url(clickhouse: Clickhouse) -> None:
    ids = list(range(2**63, 2**63 + 20_000))
    answer = clickhouse.query("SELECT length({ids:Array(UInt64)}) AS n, {s:String} AS s", {"ids": ids, "s": HOSTILE})
    assert answer.to_pylist() == [{"n": 20_000, "s": HOSTILE}]


def frame(values: list[float] | Floats, start: int = 1_760_000_000_000) -> Frame:
    column = np.asarray(values, dtype=np.float64).reshape(-1, 1)
    stamps = start + np.arange(len(column), dtype=np.int64) * 1000
    return Frame("t", 0, ["m"], np.zeros(1, np.uint32), np.array([7], np.uint64), stamps, column)


def test_threads_that_meet_a_silent_server_wait_side_by_side() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        client = Clickhouse(f"127.0.0.1:{silent.getsockname()[1]}", attempts=1, timeout_s=1)

        def ask(_: int) -> float:
            with pytest.raises(Unavailable):
                client.query("SELECT 1")
            return time.monotonic()

        with ThreadPoolExecutor(8) as threads:
            ends = sorted(threads.map(ask, range(8)))
    assert ends[-1] - ends[0] < 4  # one after the other they would end a time-out apart, which is seven in all


@pytest.mark.parametrize(
    "endpoint",
    [
        *("", "localhost", "localhost:", ":8123", "localhost:http", "localhost:0", "localhost:65536", "localhost:٨١٢٣"),
        *("http://localhost:8123", "localhost:8123/", "localhost:" + "9" * 5000),
    ],
)
def test_an_endpoint_is_host_and_port(endpoint: str) -> None:
    with pytest.raises(AddressError, match=r"TG-clickhouse-address: .* is no host:port .*TIDEGAUGE_CLICKHOUSE"):
        Clickhouse(endpoint)


def test_every_float_survives_bit_for_bit(clickhouse: Clickhouse) -> None:
    odd = [
        0,
        1 << 63,
        1,
        (1 << 63) | 1,
        0xFFFFFFFFFFFFF,
        STALE_BITS,
        NORMAL_BITS,
        0x7FF0000000000000,
        0xFFF0000000000000,
    ]
    odd += [0x7FEFFFFFFFFFFFFF, *np.array([0.1, 1e300]).view(np.uint64).tolist(), 0x7FF8000000000000]
    # 3,000 of them: more than one unit of the codec, in its good case and in its bad one.
    bits = np.array((odd * 240)[:3000], dtype=np.uint64)
    bits[1024:2048] = (np.arange(1024) / 100).view(np.uint64)
    assert MISSING_BITS not in bits
    clickhouse.command("TRUNCATE TABLE samples")
    assert clickhouse.insert("samples", rows.samples([frame(bits.view(np.float64))])) == 3000
    clickhouse.command("OPTIMIZE TABLE samples FINAL")
    got = clickhouse.query("SELECT value FROM samples ORDER BY ts")["value"].combine_chunks()
    np.testing.assert_array_equal(np.frombuffer(got.buffers()[1], dtype=np.uint64)[:3000], bits)
    wire = clickhouse.query("SELECT reinterpretAsUInt64(value) AS bits FROM samples ORDER BY ts")["bits"]
    np.testing.assert_array_equal(np.asarray(wire), bits)


def test_a_block_sent_twice_is_stored_once(clickhouse: Clickhouse) -> None:
    block = rows.samples([frame([1.0, 2.0, 3.0], start=1_770_000_000_000)])
    for _ in range(3):
        clickhouse.insert("samples", block)
    count = "SELECT count() AS n FROM samples FINAL WHERE ts >= {from:DateTime64(3)}"
    assert clickhouse.query(count, {"from": "2026-02-01 00:00:00"})["n"].to_pylist() == [3]


def test_rows_that_are_gone_are_stored_when_they_come_again(clickhouse: Clickhouse) -> None:
    block = rows.samples([frame([1.0, 2.0, 3.0], start=1_780_000_000_000)])
    for _ in range(2):
        clickhouse.insert("samples", block)
        count = "SELECT count() AS n FROM samples FINAL WHERE ts >= {from:DateTime64(3)}"
        assert clickhouse.query(count, {"from": "2026-05-01 00:00:00"})["n"].to_pylist() == [3]
        clickhouse.command("ALTER TABLE samples DELETE WHERE ts >= '2026-05-01 00:00:00' SETTINGS mutations_sync = 2")


def test_bad_data_are_refused_at_once_with_clickhouses_code(clickhouse: Clickhouse) -> None:
    waits: list[float] = []
    client = Clickhouse(clickhouse.endpoint, database=clickhouse.database, sleep=waits.append)
    with pytest.raises(RefusedBlock, match="samples") as unreadable:
        client.insert("samples", pa.table({"tenant": ["t"], "ts": ["not a time"]}))
    assert unreadable.value.code in (6, 41, 53)
    with pytest.raises(ClickhouseError) as wrong:
        client.query("SELECT nonesuch")
    assert wrong.value.code == 47
    assert waits == []
    client.close()


def test_no_samples_are_refused_while_the_password_is_wrong_from_the_start(clickhouse: Clickhouse) -> None:
    client = Clickhouse(clickhouse.endpoint, password="of yesterday", attempts=2, sleep=lambda _: None)
    with pytest.raises(Unavailable, match="TG-clickhouse-auth"):
        client.insert("samples", rows.samples([frame([1.0])]))
    client.close()


@pytest.mark.parametrize(
    ("user", "password", "database", "column", "code"),
    [
        ("default", "of yesterday", "sinks_clickhouse", "tenant", "TG-clickhouse-auth"),
        ("nobody", "", "sinks_clickhouse", "tenant", "TG-clickhouse-auth"),
        (*embedded.VIEWER, "sinks_clickhouse", "tenant", "readonly"),
        ("default", "", "sinks_nonesuch", "tenant", "UNKNOWN_DATABASE"),
        ("default", "", "sinks_clickhouse", "nonesuch", "NO_SUCH_COLUMN_IN_TABLE"),
    ],
)
def test_no_block_is_refused_for_what_an_operator_has_to_put_right(
    clickhouse: Clickhouse, user: str, password: str, database: str, column: str, code: str
) -> None:
    waits: list[float] = []
    client = Clickhouse(clickhouse.endpoint, user, password, database, attempts=3, sleep=waits.append)
    with pytest.raises(Unavailable, match=f"(?s)TG-clickhouse-unavailable.*after 3 attempts.*({code})"):
        client.insert("rejections", pa.table({column: ["t"]}))
    assert len(waits) == 2
    client.close()


def test_a_block_that_the_table_does_not_take_is_not_said_to_be_stored(clickhouse: Clickhouse) -> None:
    """chdb says done, rows and all; seen with a full disk too, where every block was lost."""
    clickhouse.command("ALTER TABLE cardinality MODIFY SETTING parts_to_delay_insert = 1, parts_to_throw_insert = 1")
    waits: list[float] = []

    def relieve(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            clickhouse.command("ALTER TABLE cardinality RESET SETTING parts_to_delay_insert, parts_to_throw_insert")

    client = Clickhouse(clickhouse.endpoint, database=clickhouse.database, sleep=relieve)
    for number in range(3):
        assert client.insert("cardinality", pa.table({"tenant": [f"parts{number}"]})) == 1
    assert len(waits) == 2
    asked = "SELECT tenant FROM cardinality WHERE startsWith(tenant, 'parts') ORDER BY tenant"
    assert clickhouse.query(asked)["tenant"].to_pylist() == ["parts0", "parts1", "parts2"]
    client.close()


def test_a_block_waits_for_its_table(clickhouse: Clickhouse) -> None:
    clickhouse.command("RENAME TABLE rejections TO moved")

    def migrate(_: float) -> None:
        clickhouse.command("RENAME TABLE moved TO rejections")

    migrated = Clickhouse(clickhouse.endpoint, database=clickhouse.database, sleep=migrate)
    assert migrated.insert("rejections", pa.table({"tenant": ["waits"]})) == 1
    assert clickhouse.query("SELECT count() AS n FROM rejections WHERE tenant = 'waits'")["n"].to_pylist() == [1]
    migrated.close()


def test_names_are_not_taken_from_strangers(clickhouse: Clickhouse) -> None:
    with pytest.raises(ValueError, match="TG-clickhouse-table"):
        clickhouse.insert("samples; DROP TABLE samples", pa.table({"tenant": ["t"]}))
    with pytest.raises(ValueError, match="TG-clickhouse-column"):
        clickhouse.insert("samples", pa.table({"tenant`) --": ["t"]}))


def test_threads_share_a_client(clickhouse: Clickhouse) -> None:
    client = Clickhouse(clickhouse.endpoint, database=clickhouse.database)
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(
            lambda n: client.query("SELECT {n:UInt64} AS n, sleep(0.01)", {"n": n})["n"][0].as_py(), range(80)
        )
        assert list(answers) == list(range(80))
    client.close()
    assert client.command("SELECT 1") == "1\n"
    client.close()
