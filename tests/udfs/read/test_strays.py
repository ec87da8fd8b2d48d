"""What is no record of its topic: counted, told once a minute, left out."""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from schemas import topics
from schemas.batch import Batch, Series, encode_series_set
from schemas.codec import MAGIC, CodecError
from schemas.frame import Frame
from tests.udfs.alert.fakeflink import Metrics
from udfs.read.flink import Strays
from udfs.read.valid import valid

NOW = 1_800_000_000_000
IDS = np.array([5, 6], np.uint64)
SET = encode_series_set([Series("a"), Series("b")])
WHOLE = Batch("acme", "s", NOW, SET, np.array([NOW]), np.ones((1, 2)), series_ids=IDS, shard=1)
SPARSE = replace(WHOLE, timestamps=np.array([NOW]), values=np.ones(1), index=np.array([1], np.uint32))


class Context:
    def __init__(self) -> None:
        self.metrics = Metrics()

    def get_metrics_group(self) -> Metrics:
        return self.metrics


@pytest.mark.parametrize(
    "batch", [WHOLE, SPARSE, replace(WHOLE, timestamps=WHOLE.timestamps[:0], values=WHOLE.values[:0])]
)
def test_what_a_gate_made_is_read(batch: Batch) -> None:
    assert valid(batch.encode()).encode() == batch.encode()


@pytest.mark.parametrize(
    ("batch", "kind"),
    [
        (replace(WHOLE, series_ids=None), "unresolved"),
        (replace(WHOLE, shard=None), "unresolved"),
        (replace(WHOLE, series_ids=IDS[:1]), "length"),
        (replace(WHOLE, values=np.ones((1, 3))), "length"),
        (replace(SPARSE, index=np.array([2], np.uint32)), "length"),
    ],
)
def test_what_no_gate_made_is_refused(batch: Batch, kind: str) -> None:
    with pytest.raises(CodecError) as caught:
        valid(batch.encode())
    assert caught.value.kind == kind


def test_strays_are_counted_and_told_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    context: Any = Context()
    strays = Strays(topics.VALID, context)
    decode: Callable[[bytes], Batch] = valid
    with caplog.at_level(logging.WARNING, "tidegauge.stray"):
        found = [strays.read(decode, value) for value in (None, b"junk", WHOLE.encode(), b"", b"\xff" * 100)]
    assert [one is not None for one in found] == [False, False, True, False, False]
    assert context.metrics.counters["records_stray"].count == 4
    assert [one.getMessage() for one in caplog.records] == [
        "TG-stray-record: metrics.valid: no value (0 bytes, b''); it is left out"
    ]


def test_what_a_newer_version_wrote_is_never_left_out() -> None:
    context: Any = Context()
    strays = Strays(topics.LATE, context)
    of_another_topic = WHOLE.encode()
    assert strays.read(Frame.decode, of_another_topic) is None
    newer = MAGIC + b"newerone" + of_another_topic[10:]
    with pytest.raises(CodecError, match=r"TG-other-version: metrics\.late"):
        strays.read(Frame.decode, newer)
    assert context.metrics.counters["records_stray"].count == 1


def test_a_fault_of_the_code_is_no_stray_record() -> None:
    context: Any = Context()

    def broken(_: bytes) -> None:
        raise ValueError("not the record's fault")

    with pytest.raises(ValueError, match="not the record"):
        Strays(topics.VALID, context).read(broken, b"record")
