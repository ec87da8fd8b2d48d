"""What must be there first is written first: series and late arrivals before samples."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from schemas.batch import Series
from schemas.codec import codec
from schemas.frame import Frame
from sinks import rows
from sinks.distributions import table_of
from sinks.refusal import RefusedBlock
from sinks.target import Target
from tests.udfs.rollup.test_distribution import made, weighted
from udfs.write.flink import BlockWriter, lane

FRAME = Frame("t", 0, ["up"], np.zeros(1, np.uint32), np.array([7], np.uint64), np.array([9]), np.ones((1, 1)))
PAYLOADS = {
    "samples": FRAME.encode(),
    "series": rows.pack(rows.series("t", [(7, Series("up"))], 9, 9)),
    "late_samples": rows.pack(rows.late_samples(FRAME, 99_000)),
    "distributions": rows.pack(table_of(made([weighted([(7, 9, ((1.0, 2),))])]))),
}


@dataclass
class Written:
    """A ClickHouse that only remembers which tables were written, in order."""

    tables: list[str] = field(default_factory=list)

    def insert(self, table: str, block: pa.Table) -> int:
        self.tables.append(table)
        return len(block)

    def look(self, *_: object) -> pa.Table:
        return pa.table({})


class Refusing:
    """A ClickHouse that takes nothing."""

    def insert(self, table: str, block: pa.Table) -> int:
        raise RefusedBlock(27, f"{table}: no")


@dataclass
class Subtask:
    """Runtime, context, timers and state of one subtask and one key, as far as the writer asks."""

    held: list[bytes] = field(default_factory=list)

    def get_index_of_this_subtask(self) -> int:
        return 0

    def get_list_state(self, _: Any) -> "Subtask":
        return self

    def add(self, payload: bytes) -> None:
        self.held.append(payload)

    def get(self) -> list[bytes]:
        return self.held

    def clear(self) -> None:
        self.held = []

    def get_current_key(self) -> str:
        return "samples/0"

    def timer_service(self) -> "Subtask":
        return self

    def current_processing_time(self) -> int:
        return 10_000

    def register_processing_time_timer(self, _: int) -> None:
        pass


def opened(subtask: Subtask, clickhouse: Written | Refusing) -> BlockWriter:
    writer = BlockWriter(Target("127.0.0.1:1", "", "", "", 1000, 1.0, 300))
    writer.open(subtask)
    setattr(writer, "_clickhouse", clickhouse)  # noqa: B010  # in the place of the real one, which has another type
    return writer


def written(tables: list[str], now: int = 20_000) -> list[str]:
    """Return the tables in the order they were written, after payloads came in the order given."""
    subtask, clickhouse = Subtask(), Written()
    writer = opened(subtask, clickhouse)
    for table in tables:
        assert list(writer.process_element((f"{table}/0", 1, PAYLOADS[table]), subtask)) == []
    assert clickhouse.tables == []
    assert list(writer.on_timer(now, subtask)) == []
    return clickhouse.tables


@pytest.mark.parametrize("first", ["series", "late_samples"])
@pytest.mark.parametrize("second", ["samples", "distributions"])
def test_they_share_a_lane_and_come_before_the_samples(first: str, second: str) -> None:
    assert lane((f"{first}/3", 1, b"")) == lane((f"{second}/3", 1, b"")) == "samples/3"
    assert written([second, first, second]) == [first, second]


@pytest.mark.parametrize("table", ["samples", "distributions"])
def test_versions_are_raised_after_a_write_into_time_that_may_be_cached(table: str) -> None:
    assert written([table], 300_009) == [table]
    assert written([table], 300_010) == [table, "data_versions"]


def test_a_refused_block_is_told_to_each_of_its_tenants() -> None:
    writer = opened(subtask := Subtask(), Refusing())
    for tenant in ("b", "a", "b"):
        list(writer.process_element(("samples/0", 1, replace(FRAME, tenant=tenant).encode()), subtask))
    told = list(writer.on_timer(20_000, subtask))
    assert [(row[0], codec("rejected").decode(row[1])["samples"], row[2]) for row in told] == [
        (b"a", 1, 20_000),
        (b"b", 2, 20_000),
    ]
    assert subtask.held == []


def test_completeness_shares_the_lane_of_the_rows_it_speaks_of() -> None:
    assert len({lane((f"{table}/0", 1, b"")) for table in ("completeness", "rollup_1m", "rollup_1d")}) == 1
