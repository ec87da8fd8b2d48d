"""What `tidegauge lag` makes of offsets."""

import pytest

from sinks.groups import Place
from stack.lag import Lag, lags, report, text

STORE = [
    Place("tidegauge-store", "metrics.valid", 0, committed=100, oldest=0, newest=150),
    Place("tidegauge-store", "metrics.valid", 1, committed=100, oldest=130, newest=160),
    Place("tidegauge-store", "metrics.ledger", 0, committed=7, oldest=7, newest=7),
]


def test_a_group_in_a_topic_is_one_line() -> None:
    assert lags(STORE, {STORE[0]: 5_000, STORE[1]: 4_000}) == [
        Lag("tidegauge-store", "metrics.valid", behind=80, lost=30, since=4_000),
        Lag("tidegauge-store", "metrics.ledger", behind=0, lost=0, since=None),
    ]


def test_what_is_lost_is_said_with_its_setting() -> None:
    lines = text(lags(STORE, {STORE[1]: 4_000}), now_ms=64_500).splitlines()
    assert [line.split() for line in lines[1:3]] == [
        ["tidegauge-store", "metrics.valid", "80", "60", "s", "30"],
        ["tidegauge-store", "metrics.ledger", "0", "0"],
    ]
    assert lines[3].startswith("TG-records-lost tidegauge-store: Kafka has deleted 30 records of metrics.valid")
    assert "retention.ms" in lines[3]


def test_a_topic_that_was_made_anew_has_nothing_behind_it() -> None:
    ahead = Place("g", "t", 0, committed=500, oldest=0, newest=20)
    assert (ahead.behind, ahead.lost) == (0, 0)


@pytest.mark.parametrize(("as_json", "out"), [(False, ""), (True, "[]\n")])
def test_groups_that_nobody_knows_are_no_table(as_json: bool, out: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert report([], "nosuch", as_json=as_json) == 1
    said = capsys.readouterr()
    assert said.out == out
    assert said.err.startswith("TG-groups no group is known whose name begins with 'nosuch'")


@pytest.mark.parametrize(("lost", "code"), [(0, 0), (3, 2)])
def test_what_is_lost_is_an_exit_code(lost: int, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert report([Lag("g", "t", 1, lost, None)], "g", as_json=False) == code
    assert capsys.readouterr().out.startswith("group ")
