import numpy as np
import pytest

from bench.hosts import Values, Workload, host_series
from schemas.batch import Batch, decode_series_set


def workload(values: Values = "integers", sources: int = 2) -> Workload:
    return Workload.of_samples(
        sources * 50 * 30, sources, 50, interval_ms=10_000, end_ms=1_700_000_040_000, values=values, tenant="t"
    )


def test_a_host_has_distinct_series_with_the_labels_of_an_agent() -> None:
    series = host_series(3, 1000)
    assert len({(s.name, s.labels) for s in series}) == 1000
    assert 25 <= len({s.name for s in series}) <= 35
    cpu = next(s for s in series if s.name == "node_cpu_seconds_total")
    assert dict(cpu.labels) == {
        "host": "host-003",
        "instance": "host-003:9100",
        "job": "node",
        "cpu": "0",
        "mode": "idle",
    }
    assert (cpu.type, cpu.unit) == ("counter", "seconds")


@pytest.mark.parametrize(("values", "scale"), [("integers", 1), ("decimals", 100)])
def test_values_are_what_they_are_called(values: Values, scale: int) -> None:
    _, made = workload(values).host(1)
    assert (np.round(made * scale) / scale == made).all()
    assert (made >= 0).all()


def test_the_same_seed_gives_the_same_data() -> None:
    assert (workload().host(1)[1] == workload().host(1)[1]).all()
    assert (workload().host(1)[1] != workload().host(0)[1]).any()


def test_some_host_restarts_inside_a_window() -> None:
    series, values = workload().host(0)
    counters = np.array([s.type == "counter" for s in series])
    falls, _ = np.nonzero(np.diff(values[:, counters], axis=0) < 0)
    assert set(falls) == {17}  # between the third and the fourth sample of the fourth minute
    assert (np.diff(workload().host(1)[1][:, counters], axis=0) >= 0).all()


def test_batches_hold_every_sample_once_in_the_order_of_time() -> None:
    load = workload()
    seen = []
    for sent in load.batches(rows_per_batch=7):
        batch = Batch.decode(sent.encode())
        assert len(decode_series_set(batch.series_set)) == 50
        seen += [(batch.source, stamp) for stamp in batch.timestamps.tolist()]
    assert len(seen) == len(set(seen)) == 2 * load.rows
    assert [seen[0], seen[7]] == [("host-000", load.timestamps[0]), ("host-001", load.timestamps[0])]
    assert load.timestamps[-1] == load.end_ms
    assert load.timestamps[0] % 60_000 == 10_000


def test_minutes_must_be_filled() -> None:
    with pytest.raises(ValueError, match="must divide a minute"):
        Workload.of_samples(100, 1, 1, interval_ms=7_000, end_ms=60_000, values="integers", tenant="t")
