"""bench.outage, which `make soak` runs: its bars, and that what it measures was measured."""

import threading
from collections.abc import Iterable

import numpy as np
import pytest

from bench.cluster import ClusterError
from bench.hosts import host_series
from bench.outage import TENANT, Inflow, held, missed, parse
from schemas.batch import Batch
from schemas.frame import Frame
from schemas.ids import series_id
from sinks import ddl, rows
from sinks.clickhouse import Clickhouse
from tests import embedded
from udfs.rollup.rows import rollup

MINUTE_MS = 60_000


@pytest.mark.parametrize(
    ("times", "before", "peak", "words"),
    [
        (3.0, 1400.0, 2900.0, []),
        (2.9, 1400.0, 2900.0, ["caught up"]),
        (3.0, 1400.0, 2901.0, ["TaskManagers"]),
        (0.5, 1400.0, 9000.0, ["caught up", "TaskManagers"]),
    ],
)
def test_bars(times: float, before: float, peak: float, words: list[str]) -> None:
    found = missed({"times_the_inflow": times, "taskmanagers_mb": {"before": before, "peak": peak}})
    assert len(found) == len(words)
    assert all(word in line for word, line in zip(words, found, strict=True))


def test_a_sender_that_dies_ends_the_run() -> None:
    sent: list[Batch] = []
    dead = threading.Event()

    def send(batches: Iterable[Batch]) -> None:
        if sent:
            dead.set()
            raise OSError("broker gone")
        sent.extend(batches)

    inflow = Inflow(send, sources=2, series=10)
    with pytest.raises(ClusterError, match=r"the inflow has ended.*broker gone"), inflow:
        dead.wait()
    assert (inflow.samples, inflow.total) == (20, sum(float(one.values.sum()) for one in sent))
    assert 0 < inflow.rate < 20 * 1000


def test_what_each_table_holds() -> None:
    database = "outage_held"
    ddl.apply(embedded.endpoint(), "default", "", database)
    client = Clickhouse(embedded.endpoint(), database=database)
    assert held(client) == {"samples": (0, 0.0), "rollup_1m": (0, 0.0)}

    series = host_series(0, 3)
    begin = 1_800_000_000_000
    frame = Frame(
        TENANT,
        0,
        sorted({one.name for one in series}),
        np.zeros(3, np.uint32),
        np.array([series_id(TENANT, one.name, one.labels) for one in series], np.uint64),
        begin + np.array([10_000, 20_000], np.int64),
        np.arange(6.0).reshape(2, 3),
    )
    client.insert("samples", rows.samples([frame]))
    assert held(client) == {"samples": (6, 15.0), "rollup_1m": (0, 0.0)}
    made = rollup([frame], begin)
    assert made is not None
    client.insert("rollup_1m", rows.rollup(made))
    assert held(client) == {"samples": (6, 15.0), "rollup_1m": (6, 15.0)}
    client.close()


@pytest.mark.parametrize("seconds", ["29", "0", "-5", "12.5"])
def test_an_outage_too_short_to_measure_is_refused(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        parse(["--seconds", seconds])
    assert refused.value.code == 2
    assert "from 30 to" in capsys.readouterr().err


def test_an_outage_lasts_as_long_as_was_asked() -> None:
    assert parse(["--seconds", "37"]).seconds == 37
