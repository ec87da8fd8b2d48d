"""Rules on absence: judged although nothing arrives, because the clock's beat comes by Kafka as any sample does."""

import numpy as np
import pytest

from promql.parse import parse
from schemas.nan import STALE
from tests.udfs.alert.fakeflink import FakeFlink
from tests.udfs.alert.scenario import T0
from tests.udfs.alert.test_flink import up
from tests.udfs.alert.test_recording import alert, job_with, record, told
from udfs.alert.spread import answers_silence


def beats(job: FakeFlink, first_s: int, last_s: int) -> None:
    for second in range(first_s, last_s + 1):
        job.beat(T0 + second * 1000)
        job.advance(T0 + second * 1000)


def test_absent_fires_for_what_has_never_been_there() -> None:
    job = job_with(alert('absent(up{job="x"})', for_s=20))
    beats(job, 0, 30)
    assert told(job) == [("pending", 0), ("firing", 20)]
    assert job.events[0]["labels"] == {"alertname": "A", "job": "x"}


def test_absent_fires_when_everything_falls_silent_and_resolves_when_it_comes_back() -> None:
    job = job_with(alert("absent(up)"))
    job.batch(up(T0, 1.0), T0)
    beats(job, 0, 320)
    job.batch(up(T0 + 325_000, 1.0), T0 + 325_000)
    beats(job, 326, 340)
    assert told(job) == [("firing", 300), ("resolved", 330)]


def test_a_staleness_marker_makes_it_absent_at_once() -> None:
    job = job_with(alert("absent(up)"))
    job.batch(up(T0, 1.0), T0)
    beats(job, 0, 9)
    job.batch(up(T0 + 10_000, float(STALE[0])), T0 + 10_000)
    ended = up(T0 + 10_000, 0.0)
    ended.values = np.repeat(STALE, 1).reshape(1, 1)
    job.batch(ended, T0 + 10_000)
    beats(job, 10, 20)
    assert told(job) == [("firing", 10)]


def test_a_watchdog_reads_no_series() -> None:
    job = job_with(alert("vector(1)"))
    beats(job, 0, 20)
    assert told(job) == [("firing", 0)]
    job.rule("acme/g/A", None)
    beats(job, 21, 30)
    assert told(job) == [("firing", 0), ("resolved", 30)]
    assert job.stored == {} and job.timers == []


def test_a_rule_that_reads_an_always_recorded_series_is_judged_in_silence() -> None:
    job = job_with(record("ok", "vector(1)"), alert("ok == 1", 1))
    beats(job, 0, 10)
    assert told(job) == [("firing", 0)]


def test_the_same_beats_again_give_the_same_events_with_a_restart_before_every_tick() -> None:
    runs = []
    for disturb in (lambda job: None, FakeFlink.restart):
        job = FakeFlink(disturb)
        rule = alert("absent(up)", for_s=10)
        job.rule(rule.key, rule.encode())
        job.batch(up(T0, 1.0), T0)
        beats(job, 0, 400)
        runs.append(job.sent)
    assert runs[0] == runs[1] and runs[0]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("absent(x)", True),
        ("absent_over_time(x[5m])", True),
        ("vector(1)", True),
        ("1", True),
        ("time() > bool 5", True),
        ("x or vector(0)", True),
        ("count(x) or vector(0) > 0", True),
        ("sum(absent(x))", True),
        ("-absent(x)", True),
        ("max_over_time(absent(x)[5m:1m])", True),
        ("absent(x) unless y", True),
        ("clamp_max(absent(x), 5)", True),
        ("hour() > 5", True),
        ("x", False),
        ("x > 1", False),
        ("sum(x) == 0", False),
        ("rate(x[5m]) > time()", False),
        ("x and absent(y)", False),
        ("absent(x) and y", False),
        ("x unless vector(1)", False),
        ("histogram_quantile(0.9, x)", False),
    ],
)
def test_which_expressions_answer_silence(text: str, answer: bool) -> None:
    assert answers_silence(parse(text)) is answer
