"""Recording rules and the series of alerts: what goes back into the stream, what a later rule of the group reads."""

import numpy as np
import pytest

from schemas.batch import Batch, decode_series_set
from schemas.nan import is_missing, is_stale
from tests.udfs.alert.fakeflink import FakeFlink
from tests.udfs.alert.scenario import T0
from tests.udfs.alert.test_flink import up
from udfs.alert.book import Book
from udfs.alert.recording import batches_of, source_of
from udfs.alert.rule import Rule, RuleFault


def record(name: str, expr: str, position: int = 0, group: str = "g", **more: object) -> Rule:
    fields = {"interval_s": 10, **more}
    return Rule("acme", f"{group}/{name}", group, "", expr, record=name, position=position, **fields)  # type: ignore[arg-type]


def alert(expr: str, position: int = 9, group: str = "g", **more: object) -> Rule:
    return Rule("acme", f"{group}/A", group, "A", expr, interval_s=10, position=position, **more)  # type: ignore[arg-type]


def job_with(*rules: Rule) -> FakeFlink:
    job = FakeFlink()
    for rule in rules:
        job.rule(rule.key, rule.encode())
    return job


def shown(batches: list[Batch], name: str = "") -> list[str]:
    """Return `seconds name{labels} value` of each sample of a name, in the order in which they were recorded."""
    made = []
    for batch in batches:
        kinds = decode_series_set(batch.series_set)
        for at, row in zip(batch.timestamps.tolist(), batch.values, strict=True):
            for one, cell in zip(kinds, row, strict=True):
                if is_missing(np.array([cell])).all() or not one.name.startswith(name) or "tidegauge" in one.name:
                    continue
                value = "stale" if is_stale(np.array([cell])).all() else f"{cell:g}"
                inner = ", ".join(f'{key}="{text}"' for key, text in one.labels)
                made.append(f"{(at - T0) // 1000} {one.name}{{{inner}}} {value}")
    return made


def told(job: FakeFlink) -> list[tuple[str, int]]:
    """Return (state, seconds) of each transition."""
    return [(one["state"], (one["evaluated_at"] - T0) // 1000) for one in job.events]


def feed(job: FakeFlink, values: str, host: str = "a", each_s: int = 10) -> None:
    """Deliver one sample a step (`_` is none) and let the tick pass."""
    for number, cell in enumerate(values.split()):
        at = T0 + number * each_s * 1000
        if cell != "_":
            job.batch(up(at, float(cell), host), at)
        job.advance(at)


def test_a_rule_records_with_its_name_labels_tenant_and_source() -> None:
    job = job_with(record("up:twice", "2 * up", labels=(("team", "x"),)))
    feed(job, "1 3")
    assert shown(job.recorded) == ['0 up:twice{host="a", team="x"} 2', '10 up:twice{host="a", team="x"} 6']
    assert {(one.tenant, one.source) for one in job.recorded} == {("acme", "rule:g/up:twice")}


def test_a_series_that_is_no_longer_recorded_ends_with_a_staleness_marker() -> None:
    job = job_with(record("up:bad", "up > 2"))
    feed(job, "3 1 1 4")
    assert shown(job.recorded) == ['0 up:bad{host="a"} 3', '10 up:bad{host="a"} stale', '30 up:bad{host="a"} 4']


def test_a_deleted_rule_ends_its_series() -> None:
    rule = record("up:twice", "2 * up")
    job = job_with(rule)
    feed(job, "1")
    job.rule(rule.key, None)
    job.advance(T0 + 10_000)
    assert shown(job.recorded) == ['0 up:twice{host="a"} 2', '10 up:twice{host="a"} stale']


def test_alerts_are_series_and_end_with_their_state() -> None:
    job = job_with(alert("up == 0", for_s=10))
    feed(job, "0 0 1")
    since = T0 // 1000
    names = 'alertname="A", alertstate="{}", host="a"'
    assert shown(job.recorded) == [
        f"0 ALERTS{{{names.format('pending')}}} 1",
        f'0 ALERTS_FOR_STATE{{alertname="A", host="a"}} {float(since):g}',
        f"10 ALERTS{{{names.format('firing')}}} 1",
        f"10 ALERTS{{{names.format('pending')}}} stale",
        f'10 ALERTS_FOR_STATE{{alertname="A", host="a"}} {float(since):g}',
        f"20 ALERTS{{{names.format('firing')}}} stale",
        '20 ALERTS_FOR_STATE{alertname="A", host="a"} stale',
    ]
    exact = [float(one.values[0, -1]) for one in job.recorded if one.values.shape[1] == 2]
    assert exact[0] == since


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_later_rule_of_the_group_reads_this_ticks_value(order: tuple[int, int]) -> None:
    rules = [record("up:sum", "sum(up)", 0), alert("up:sum > 5", 1)]
    job = job_with(*(rules[place] for place in order))
    for number, value in enumerate([1.0, 5.0, 0.0]):
        at = T0 + number * 10_000
        job.batch(up(at, value, "a"), at)
        job.batch(up(at, 1.0, "b"), at)
        job.advance(at)
    assert told(job) == [
        ("firing", 10),
        ("resolved", 20),
    ]


def test_a_range_over_a_recorded_series_sees_the_ticks_before_and_where_it_ended() -> None:
    rules = [record("big", "up > 2"), alert("count_over_time(big[30s]) >= 2", 1)]
    job = job_with(*rules)
    feed(job, "3 4 1 1 1 1")
    assert told(job) == [
        ("firing", 10),
        ("resolved", 30),
    ]
    instant = job_with(record("big", "up > 2"), alert("big", 1))
    feed(instant, "3 1 1 1")
    assert told(instant) == [("firing", 0), ("resolved", 10)]


def test_a_chain_of_three_and_two_rules_of_one_name() -> None:
    rules = [
        record("part", "up{host='a'}", 0, labels=(("side", "l"),)),
        Rule("acme", "g/part#2", "g", "", "up{host='b'}", interval_s=10, record="part", position=1),
        record("whole", "sum(part)", 2),
        alert("whole == 7", 3),
    ]
    job = job_with(*rules)
    job.batch(up(T0, 3.0, "a"), T0)
    job.batch(up(T0, 4.0, "b"), T0)
    job.advance(T0)
    assert [one["state"] for one in job.events] == ["firing"]
    assert shown(job.recorded, "whole") == ["0 whole{} 7"]


def test_another_group_reads_the_stream() -> None:
    job = job_with(record("up:sum", "sum(up)", group="one"), alert("up:sum > 5", group="two"))
    feed(job, "9 9")
    assert job.events == []


def test_a_restart_before_every_tick_records_the_same() -> None:
    rules = [record("big", "up > 2"), alert("count_over_time(big[30s]) >= 2", 1)]
    runs = []
    for disturb in (lambda job: None, FakeFlink.restart):
        job = FakeFlink(disturb)
        for rule in rules:
            job.rule(rule.key, rule.encode())
        feed(job, "3 4 1 1 5 6 1")
        runs.append((job.sent, shown(job.recorded)))
    assert runs[0] == runs[1]


def test_a_rule_does_not_feed_on_what_it_records() -> None:
    job = job_with(record("copy", '{__name__=~"up|copy"}', labels=(("by", "rule"),)))
    job.batch(up(T0, 1.0), T0)
    own = up(T0, 5.0, "z")
    own.source = source_of("g/copy")
    job.batch(own, T0)
    job.advance(T0)
    assert shown(job.recorded) == ['0 copy{by="rule", host="a"} 1']


@pytest.mark.parametrize(
    "rules",
    [
        [record("a", "a + 1")],
        [record("a", "b"), record("b", "a", group="h")],
        [record("a", "sum(b)"), record("b", "c", 1), record("c", "rate(a[1m])", 2)],
    ],
)
def test_loops_are_refused(rules: list[Rule]) -> None:
    book = Book()
    with pytest.raises(RuleFault, match="TG-rule-loop"):
        for rule in rules:
            book.put(rule.key, rule.encode())
    assert len(book) == len(rules) - 1


def test_the_limit_of_a_group_and_its_query_offset() -> None:
    job = job_with(alert("up == 0", limit=1))
    for host in ("a", "b"):
        job.batch(up(T0, 0.0, host), T0)
    spread = job_with(record("all", "sum by () (up)", limit=1, query_offset_s=10))
    feed(spread, "1 2 3")
    assert shown(spread.recorded) == ["0 all{} 1", "10 all{} 2"]
    many = job_with(record("each", "topk(2, up)", limit=1))
    for host in ("a", "b"):
        many.batch(up(T0, 0.0, host), T0)
    many.advance(T0)
    assert shown(many.recorded) == []
    assert [one["alert"] for one in many.events] == ["RuleFailing"]


def test_nothing_to_record_is_no_batch() -> None:
    assert batches_of("acme", "rule:x", T0, []) == []
