"""Files as batches; the producer is a list."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from kafka.errors import KafkaTimeoutError

from load import produce
from load.jsonl import parse
from load.progress import Progress
from schemas.batch import Batch, decode_series_set
from schemas.nan import STALE_BITS
from schemas.topics import RAW


class Done:
    """What a send returns; `late` counts how many were still open at once."""

    def __init__(self, kept: "Kept") -> None:
        self.kept = kept
        kept.open += 1
        kept.most_open = max(kept.most_open, kept.open)

    def get(self, timeout: float) -> None:
        self.kept.open -= 1
        if self.kept.takes == 0:
            raise OSError("broker is gone")
        self.kept.takes -= 1


class Kept:
    """A producer that keeps what it was given, of a broker that takes so many records."""

    def __init__(self, takes: int = 1_000_000) -> None:
        self.records: list[tuple[str, bytes, bytes]] = []
        self.open = self.most_open = 0
        self.takes = takes

    def send(self, topic: str, value: bytes, key: bytes) -> Done:
        self.records.append((topic, value, key))
        return Done(self)


def samples_of(records: list[tuple[str, bytes, bytes]]) -> dict[tuple[str, str], list[tuple[int, int]]]:
    found: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for _, value, _ in records:
        batch = Batch.decode(value)
        series = decode_series_set(batch.series_set)
        for index, stamp, bits in zip(*batch.points()[:2], batch.points()[2].view(np.uint64), strict=True):
            one = series[int(index)]
            found.setdefault((one.name, json.dumps(one.labels)), []).append((int(stamp), int(bits)))
    return found


def file_of(path: Path, series: Mapping[str, Sequence[Sequence[float | str]]]) -> Path:
    lines = [{"labels": {"__name__": "m", "host": host}, "samples": samples} for host, samples in series.items()]
    path.write_text("\n".join(json.dumps(line) for line in lines))
    return path


def test_every_sample_once_with_its_bits(tmp_path: Path) -> None:
    path = file_of(tmp_path / "a.jsonl", {"a": [[1, "stale"], [2, -0.0]], "b": [[1, 5e-324]]})
    kept = Kept()
    assert produce.produce(kept, "acme", "src", path, Progress("produce", 1), clock_ms=lambda: 99) == 1
    (record,) = kept.records
    assert (record[0], record[2]) == (RAW, b"src")
    batch = Batch.decode(record[1])
    assert (batch.tenant, batch.source, batch.sent_at) == ("acme", "src", 99)
    assert samples_of(kept.records) == {
        ("m", '[["host", "a"]]'): [(1, STALE_BITS), (2, 1 << 63)],
        ("m", '[["host", "b"]]'): [(1, 1)],
    }


def test_time_rises_over_all_series_of_a_stretch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(produce, "BATCH_SAMPLES", 50)
    monkeypatch.setattr(produce, "SERIES_PER_SET", 4)
    series = {f"h{n}": [[t * 1000, n * 1000 + t] for t in range(100)] for n in range(10)}
    kept = Kept()
    progress = Progress("produce", 1)
    produce.produce(kept, "t", "s", file_of(tmp_path / "a.jsonl", series), progress)
    batches = [Batch.decode(value) for _, value, _ in kept.records]
    # Three sets of series, each the same bytes in all its batches.
    assert len({batch.series_set for batch in batches}) == 3
    highest = np.maximum.accumulate([int(batch.timestamps.max()) for batch in batches])
    behind = [int(high - batch.timestamps.min()) for high, batch in zip(highest, batches, strict=True)]
    # Within one slice of 3 times 50 samples of 10 series: 15 s.
    assert max(behind) <= 15_000
    assert {key: len(found) for key, found in samples_of(kept.records).items()} == {
        ("m", json.dumps([["host", host]])): 100 for host in series
    }
    assert (progress.lines, progress.samples, progress.rejected) == (10, 1000, 0)


def test_memory_is_bounded_by_stretches_and_by_what_is_in_flight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(produce, "BATCH_SAMPLES", 1)
    series = {f"h{n}": [[t, 1] for t in range(100)] for n in range(10)}
    kept = Kept()
    sent = produce.produce(
        kept, "t", "s", file_of(tmp_path / "a.jsonl", series), Progress("produce", 1), stretch_samples=200
    )
    assert sent == 1000
    assert kept.most_open <= produce.IN_FLIGHT
    assert kept.open == 0
    assert len({Batch.decode(value).series_set for _, value, _ in kept.records}) == 5


def test_bad_lines_are_told_and_the_rest_is_sent(tmp_path: Path) -> None:
    path = file_of(tmp_path / "a.jsonl", {"a": [[1, 1]], "\ud800": [[1, -0.0]], "b": [[1, 1]]})
    # As many programs write it.
    path.write_text(path.read_text().replace("-0.0", "-0"))
    kept, out = Kept(), io.StringIO()
    assert produce.produce(kept, "t", "s", path, progress := Progress("produce", 1, out)) == 1
    assert (progress.lines, progress.rejected) == (2, 1)
    assert f"{path}:2: TG-load-json" in out.getvalue()
    assert len(samples_of(kept.records)) == 2


def test_a_batch_that_is_not_acknowledged_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(produce, "BATCH_SAMPLES", 3)
    path = file_of(tmp_path / "a.jsonl", {"a": [[n, n] for n in range(10)]})
    progress = Progress("produce", 1)
    with pytest.raises(OSError, match="broker is gone"):
        produce.produce(Kept(takes=2), "t", "s", path, progress)
    assert progress.so_far("sent").startswith("6 samples sent for certain, 1 lines read; ")


class Stuck(Kept):
    """As kafka-python's: closing it fails while something is left that its sender has not been told to drop."""

    def __init__(self) -> None:
        super().__init__()
        self._sender = self
        self.forced = self.closed = False

    def send(self, topic: str, value: bytes, key: bytes) -> Done:
        if len(self.records) == produce.IN_FLIGHT:
            raise KeyboardInterrupt
        return super().send(topic, value, key)

    def force_close(self) -> None:
        self.forced = True

    def close(self, timeout: float) -> None:
        if not self.forced:
            raise KafkaTimeoutError("what is left cannot be sent")
        self.closed = True


def test_ctrl_c_says_how_far_it_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stuck = Stuck()
    monkeypatch.setattr(produce, "open_producer", lambda *_, **__: stuck)
    monkeypatch.setattr(produce, "BATCH_SAMPLES", 1)
    with pytest.raises(KeyboardInterrupt):
        produce.main([str(file_of(tmp_path / "a.jsonl", {"a": [[n, n] for n in range(100)]}))])
    assert capsys.readouterr().err.startswith("1 samples sent for certain, 1 lines read; ")
    assert stuck.closed


def test_nothing_to_send() -> None:
    assert list(produce.batches([], "t", "s", lambda: 0)) == []
    empty = parse(b'{"labels": {"__name__": "m"}, "samples": []}')
    assert list(produce.batches([empty], "t", "s", lambda: 0)) == []


def test_progress_without_a_terminal_is_a_line_now_and_then() -> None:
    out = io.StringIO()
    now = [0.0]
    progress = Progress("load", 1000, out, lambda: now[0])
    for second in range(11):
        now[0] = float(second)
        progress.good(100, 7)
    progress.bad(0, "file:3", ValueError("TG-x: y"))
    assert out.getvalue().splitlines() == ["load: 60 %, 42 samples", "load: 110 %, 77 samples", "file:3: TG-x: y"]


def test_lines_of_one_series_that_differ_in_type_are_one_column() -> None:
    """The gate refuses a series that stands in a set twice."""
    lines = ['{"labels": {"__name__": "m"}, "samples": [[1, 1]]}']
    lines += [f'{{"labels": {{"__name__": "m"}}, "type": "counter", "samples": [[{n}, {n}]]}}' for n in (2, 3)]
    (batch,) = produce.batches([parse(line.encode()) for line in lines], "t", "s", lambda: 0)
    assert [(one.name, one.type) for one in decode_series_set(batch.series_set)] == [("m", "counter")]
    assert batch.values.tolist() == [1.0, 2.0, 3.0]


def test_what_the_gate_will_find_too_old_is_said(tmp_path: Path) -> None:
    """2160 samples were sent and none was kept, and nothing said so."""
    path = file_of(tmp_path / "a.jsonl", {"a": [[7_000, 1], [9_000, 1]], "b": [[5_000, 1]], "c": []})
    produce.produce(Kept(), "t", "s", path, progress := Progress("produce", 1))
    assert progress.oldest == 5_000
    hour = 3_600_000
    told = produce.too_old(7200, progress.oldest, 5_000 + 3 * hour)
    assert told is not None
    assert told.startswith(
        "TG-produce-old: the oldest sample is 3.0 hours old; the gate refuses what is older than 7200 s"
    )
    for oldest, began in ((5_000, 5_000 + 2 * hour), (None, 5 * hour), (5_000, 0)):
        assert produce.too_old(7200, oldest, began) is None
