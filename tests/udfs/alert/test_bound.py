"""What one record of the alert job holds: however large rules and labels are, its sinks and the gate take it."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promql.series import Signature
from schemas.batch import Batch, Series, decode_series_set, encode_series_set
from schemas.ids import series_id
from schemas.nan import is_stale
from tests.udfs.alert.fakeflink import FakeFlink
from tests.udfs.alert.scenario import T0
from tests.udfs.alert.test_flink import up
from tests.udfs.alert.test_recording import alert, job_with, record
from udfs.alert.bound import ANNOTATION_BYTES, BATCH_BYTES, BATCH_SERIES, LABEL_CHARACTERS, shortened
from udfs.alert.recording import batches_of
from udfs.gate.gate import Gate, Passed
from udfs.gate.limits import Limits

MOST = 2 << 20  # key and value of any record; Kafka's sink takes 9 MB (jobs/streams.py), the gate 8
HUGE = '{{ printf "%0262100d" 0 }}'  # near the largest text that a template makes
OF_ONE = '{{ if eq $labels.host "h1" }}' + HUGE + "{{ end }}"


def hosts(size: int, labels: int = 0, letter: str = "x") -> Batch:
    """Return samples up{host="h0"…} 0, with so many labels more, each as long as the gate lets it be."""
    more = tuple((f"l{number:02d}", letter * 2048) for number in range(labels))
    series = [Series("up", (("host", f"h{number}"), *more)) for number in range(size)]
    ids = np.array([series_id("acme", one.name, one.labels) for one in series], np.uint64)
    return Batch("acme", "s", T0, encode_series_set(series), np.array([T0]), np.zeros((1, size)), None, ids, 0)


def run(job: FakeFlink, *batches: Batch) -> FakeFlink:
    for batch in batches:
        job.batch(batch, T0)
    job.advance(T0)
    return job


def late(job: FakeFlink) -> FakeFlink:
    """Let the alert miss a sample, with twenty late series of large labels."""
    batch = hosts(20, 18, "\U0001d11e")
    for step in range(20):
        at = T0 + step * 10_000
        job.batch(up(at, 1.0), at)
        if step == 10:
            job.batch(batch, at)
        job.advance(at)
    return job


COPY = record("big:copy", "up", limit=100_000)
LATE = alert("count(last_over_time(up[15s]) == 0) > 3")
CASES: list[tuple[str, Callable[[], FakeFlink]]] = [
    ("a copy of 600 series of 37 kB", lambda: run(job_with(COPY), *[hosts(150, 17, c) for c in "abcd"])),
    ("3,000 alerts of 2 kB", lambda: run(job_with(alert("up == 0", limit=9000)), hosts(3000, 1))),
    ("12,000 small series", lambda: run(job_with(COPY), hosts(12_000))),
    (
        "40 long annotations",
        lambda: run(job_with(alert("up", annotations=tuple((f"a{n}", HUGE) for n in range(40)))), hosts(1)),
    ),
    ("40 long labels", lambda: run(job_with(alert("up", labels=tuple((f"a{n}", HUGE) for n in range(40)))), hosts(1))),
    ("large late samples", lambda: late(job_with(LATE))),
]


@pytest.mark.parametrize("play", [case for _, case in CASES], ids=[name for name, _ in CASES])
def test_no_record_is_larger_than_what_takes_it(play: Callable[[], FakeFlink]) -> None:
    job = play()
    assert job.sizes and max(job.sizes) <= MOST


SHAPES = st.lists(
    st.tuples(
        st.sampled_from([1, 7, 400, 6000]), st.sampled_from([0, 3, 90, 2100]), st.sampled_from([1, 40, 900, 30_000])
    ),
    max_size=3,
)


@settings(max_examples=6, deadline=None)
@given(SHAPES, st.booleans())
def test_batches_hold_every_series_once_in_order_and_each_is_read_by_itself(
    shapes: list[tuple[int, int, int]], end: bool
) -> None:
    rows: list[Signature] = [
        (("__name__", "m"), ("group", f"{place}-{number}"), *((f"l{name:04d}", "é" * length) for name in range(labels)))
        for place, (size, labels, length) in enumerate(shapes)
        for number in range(min(size, 1 + 500_000 // (1 + labels * length)))
    ]
    stale = rows if end else []
    made = batches_of("acme", "rule:x", T0, [] if end else [(one, float(len(one))) for one in rows], stale)
    again = batches_of("acme", "rule:x", T0, [] if end else [(one, float(len(one))) for one in rows], reversed(stale))
    assert [one.encode() for one in made] == [one.encode() for one in again]
    told = []
    for batch in made:
        assert len(batch.encode()) <= BATCH_BYTES + 200
        series = decode_series_set(batch.series_set)
        assert batch.values.shape == (1, len(series)) and len(series) <= BATCH_SERIES
        assert is_stale(batch.values).all() if end else (batch.values[0] > 0).all()
        told += [(("__name__", one.name), *one.labels) for one in series]
    assert told == sorted(one for one in rows if sum(len(a) + len(b) for a, b in one) <= LABEL_CHARACTERS)


def test_one_series_that_the_gate_refuses_costs_no_other() -> None:
    good = [(("__name__", "m"), ("host", f"h{number}")) for number in range(3000)]
    bad = (("__name__", "m"), ("host", "h0x"), *((f"l{number:04d}", "x") for number in range(4500)))
    gate = Gate.open(4, Limits())
    passed = [
        one.batch.values.size
        for batch in batches_of("acme", "rule:x", T0, [(labels, 1.0) for labels in (*good, bad)])
        for one in gate.judge(batch.encode(), T0)
        if isinstance(one, Passed)
    ]
    assert sum(passed) == 3000


def test_what_has_too_long_labels_is_left_out_and_told_and_the_others_are_made() -> None:
    job = run(job_with(alert("up == 0", labels=(("long", OF_ONE),), limit=100)), hosts(3))
    told = {(one["labels"]["alertname"], one["labels"].get("host")) for one in job.events}
    assert told == {("A", "h0"), ("A", "h2"), ("RuleFailing", None)}
    (failing,) = (one for one in job.events if one["alert"] == "RuleFailing")
    assert failing["annotations"]["summary"] == (
        "TG-rule-labels: 1 of the results left out; the labels of the first have 262120 characters, "
        f"'long' alone 262100; at most {LABEL_CHARACTERS}"
    )
    names = [
        dict(one.labels)["host"]
        for batch in job.recorded
        for one in decode_series_set(batch.series_set)
        if one.name == "ALERTS"
    ]
    assert names == ["h0", "h2"]


def test_long_annotations_are_cut_to_equal_shares_and_say_so() -> None:
    job = run(
        job_with(alert("up", annotations=(("long", HUGE), ("more", HUGE), ("short", "it is {{ $labels.host }}")))),
        hosts(1),
    )
    texts = job.events[0]["annotations"]
    assert texts["short"] == "it is h0"
    assert len(texts["long"]) < 90_000 and texts["long"].endswith(
        f"… (TG-text-cut: 262100 bytes; at most {ANNOTATION_BYTES // 3})"
    )


@pytest.mark.parametrize(
    ("text", "most", "expected"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "abc… (TG-text-cut: 4 bytes; at most 3)"),
        ("éé", 3, "é… (TG-text-cut: 4 bytes; at most 3)"),
    ],
)
def test_a_cut_keeps_whole_characters(text: str, most: int, expected: str) -> None:
    assert shortened(text, most) == expected


def test_late_samples_that_have_no_room_are_counted() -> None:
    (missed,) = (one for one in late(job_with(LATE)).events if one["state"] == "missed")
    assert (len(missed["late"]), missed["late_more"]) == (1, 19)
