"""Sources whose clocks are off, limits of time and names per tenant."""

import pytest

from schemas.batch import Series
from tests.udfs.gate.pair import NOW, Pair, record, series

UP = [series("up")]


def flags(pair: Pair) -> list[str]:
    return [one.refusal.value for one in pair.refused if one.refusal.reason.id == "TG-clock-skew"]


def stamps(pair: Pair) -> list[int]:
    return sorted(stamp - NOW for _, stamp in pair.samples)


@pytest.mark.parametrize("off", [-60_000, -1, 0, 60_000])
def test_a_minute_off_is_no_skew(off: int) -> None:
    pair = Pair({"clock": "server"})
    pair.send(record(UP, NOW + off, sent=NOW + off))
    assert (flags(pair), stamps(pair)) == ([], [off])


def test_a_source_that_is_off_is_flagged_once_a_minute_and_loses_nothing() -> None:
    pair = Pair()
    for step in range(100):
        sent = NOW + step * 1000 - 300_000
        pair.send(record(UP, sent, sent=sent), NOW + step * 1000)
    assert flags(pair) == ["s: -300 s"] * 3
    assert len(pair.samples) == 100


def test_its_time_is_replaced_if_the_policy_says_so() -> None:
    pair = Pair({"clock": "server"})
    for _ in range(2):
        pair.send(record(UP, NOW - 300_000, sent=NOW - 300_000))
    ahead = NOW + 31_536_000_000
    pair.send(record(UP, ahead, source="t", sent=ahead))
    assert stamps(pair) == [0]
    assert flags(pair) == ["s: -300 s", "s: -300 s", "t: +31536000 s"]  # by the owner, by the gate, by the owner


@pytest.mark.parametrize("source", ["rule:g/r", "gate:acme"])
def test_what_the_jobs_record_late_keeps_its_time(source: str) -> None:
    pair = Pair({"clock": "server"})
    for _ in range(2):
        pair.send(record(UP, NOW - 300_000, source=source, sent=NOW - 300_000))
    assert (flags(pair), stamps(pair)) == ([], [-300_000])


def test_a_sample_a_year_ahead_makes_no_other_late() -> None:
    pair = Pair()
    pair.send(record(UP, NOW + 31_536_000_000))
    pair.send(record([series("load")], NOW))
    assert stamps(pair) == [0]
    assert pair.rejected == {"TG-too-future": 1}


LIMITS: list[tuple[dict[str, object], Series, int, dict[str, int]]] = [
    ({"tolerance_s": 60}, UP[0], -60_001, {"TG-too-old": 1}),
    ({"tolerance_s": 86_400}, UP[0], -7_200_001, {"TG-too-old": 1}),
    ({"future_grace_s": 0}, UP[0], 1, {"TG-too-future": 1}),
    ({"future_grace_s": 86_400}, UP[0], 600_001, {"TG-too-future": 1}),
    ({"max_labels": 1}, series("m", a="1", b="2"), 0, {"TG-label-count": 1}),
    ({"max_labels": 30}, Series("m", tuple((f"l{n:02}", "x") for n in range(30))), 0, {}),
    ({}, series("temp °C"), 0, {"TG-metric-name": 1}),
    ({"utf8": True}, series("temp °C"), 0, {}),
    ({"utf8": True}, Series("m", (("a-b", "1"),)), 0, {}),
    ({"utf8": True}, Series("m", (("__x", "1"),)), 0, {"TG-label-name": 1}),
    ({"utf8": True}, Series(""), 0, {"TG-metric-name": 1}),
]


@pytest.mark.parametrize(("policy", "one", "off", "rejected"), LIMITS)
def test_limits_are_the_tenants_own(policy: dict[str, object], one: Series, off: int, rejected: dict[str, int]) -> None:
    pair = Pair(policy)
    pair.send(record([one], NOW + off))
    assert pair.rejected == rejected
    pair.send(record([one], NOW, tenant="other"))
    assert len(pair.accounts) == 2
