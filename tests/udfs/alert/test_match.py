"""What leaves the matching step: for each rule its samples, all of them, and no others."""

from dataclasses import replace

import numpy as np
import pytest

from schemas.batch import Batch, Series, encode_series_set
from schemas.ids import series_id
from schemas.nan import MISSING
from udfs.alert.book import Book
from udfs.alert.match import Address, Match
from udfs.alert.rule import Rule
from udfs.alert.window import series_of

SERIES = [Series("up", (("host", f"h{n}"), ("job", "a" if n % 2 else "b"))) for n in range(6)]
SERIES += [Series("load", (("host", f"h{n}"),)) for n in range(3)]


def batch(series: list[Series] = SERIES, tenant: str = "acme", rows: int = 2) -> Batch:
    ids = np.array([series_id(tenant, one.name, one.labels) for one in series], np.uint64)
    values = np.arange(rows * len(series), dtype=np.float64).reshape(rows, -1)
    return Batch(tenant, "test", 0, encode_series_set(series), np.arange(rows) * 1000, values, None, ids, 0)


def sparse(dense: Batch) -> Batch:
    index, timestamps, values = dense.points()
    return replace(dense, index=index, timestamps=timestamps, values=values)


def book(*exprs: str, tenant: str = "acme") -> Book:
    made = Book()
    for number, expr in enumerate(exprs):
        rule = Rule(tenant, f"g/R{number}", "g", f"R{number}", expr)
        made.put(rule.key, rule.encode())
    return made


def sent(match: Match, one: Batch) -> dict[str, set[tuple[str, int, float]]]:
    """Return what goes to each rule, as (series, timestamp, value); a series must not go to two buckets."""
    found: dict[str, set[tuple[str, int, float]]] = {}
    owners: dict[tuple[str, str], str] = {}
    for address, part in match.split(one):
        rule = Address.parse(address).rule_id
        assert part is not None
        piece = Batch.decode(part.encode())
        series = series_of(piece.series_set)
        assert piece.series_ids is not None
        assert piece.series_ids.tolist() == [series_id(piece.tenant, s.name, s.labels) for s in series]
        for place, ts, value in zip(*piece.points(), strict=True):
            name = f"{series[place].name}{dict(series[place].labels)}"
            assert owners.setdefault((rule, name), address) == address
            found.setdefault(rule, set()).add((name, int(ts), float(value)))
    return found


def expected(one: Batch, want: set[int]) -> set[tuple[str, int, float]]:
    series = series_of(one.series_set)
    return {
        (f"{series[place].name}{dict(series[place].labels)}", int(ts), float(value))
        for place, ts, value in zip(*one.points(), strict=True)
        if place in want
    }


@pytest.mark.parametrize("make", [lambda one: one, sparse], ids=["dense", "sparse"])
@pytest.mark.parametrize(
    ("expr", "places"),
    [
        ("up == 0", {0, 1, 2, 3, 4, 5}),
        ('up{job="a"} == 0', {1, 3, 5}),
        ('{host=~"h[01]"} == 0', {0, 1, 6, 7}),
        ("sum by (job) (up) > 1", {0, 1, 2, 3, 4, 5}),
        ("up / on (host) load > 1", set(range(9))),
        ('up{zone=""} == 0', {0, 1, 2, 3, 4, 5}),
        ("down == 0", set()),
    ],
)
def test_a_rule_gets_the_samples_that_it_selects(expr: str, places: set[int], make: object) -> None:
    one = make(batch())  # type: ignore[operator]  # one of the two callables above
    assert sent(Match(book(expr)), one).get("g/R0", set()) == expected(one, places)


def test_every_rule_gets_its_own() -> None:
    got = sent(Match(book("up == 0", "load > 1", "down")), batch())
    assert {rule: len(rows) for rule, rows in got.items()} == {"g/R0": 12, "g/R1": 6}


def test_rules_are_found_by_the_names_that_they_read() -> None:
    rules = book("up == 0", "load > 1 and up == 1", '{__name__=~"up|down"} == 0', "vector(1)", "absent(down)")
    recording = Rule("acme", "g/R5", "g", "", "sum(load)", record="whole_load")
    reader = Rule("acme", "g/R6", "g", "R6", "whole_load > 1")
    for rule in (recording, reader):
        rules.put(rule.key, rule.encode())

    def found(*names: str) -> list[str]:
        return [rule.rule_id for rule, _ in rules.reading("acme", names)]

    assert found("up") == ["g/R0", "g/R1", "g/R2"]
    assert found("load") == ["g/R1", "g/R2", "g/R5", "g/R6"]  # the last by way of what its group records
    assert found("down", "nobody") == ["g/R2", "g/R4"]
    assert found() == ["g/R2"]
    assert rules.reading("other", ["up"]) == []
    rules.put("acme/g/R2", None)
    assert found("up") == ["g/R0", "g/R1"]


def test_tenants_do_not_meet() -> None:
    match = Match(book("up == 0", tenant="other"))
    assert list(match.split(batch())) == []
    assert sent(match, batch(tenant="other")).keys() == {"g/R0"}


def test_a_changed_rule_is_seen_by_sets_already_known() -> None:
    rules = book("up == 0")
    match = Match(rules)
    assert len(sent(match, batch())["g/R0"]) == 12
    edited = Rule("acme", "g/R0", "g", "R0", "load > 1")
    rules.put(edited.key, edited.encode())
    assert len(sent(match, batch())["g/R0"]) == 6
    rules.put(edited.key, None)
    assert list(match.split(batch())) == []


def test_routes_are_remembered_by_their_size() -> None:
    match = Match(book("up == 0", "load > 1", "up > 1"), cached_bytes=100_000)
    sets = [batch([Series("up", (("host", f"h{n}"), ("pod", f"{made}"))) for n in range(100)]) for made in range(9)]
    for one in [*sets, batch([Series("up", (("host", f"h{n}"),)) for n in range(1000)])]:
        assert len(sent(match, one)["g/R0"]) == 2 * len(series_of(one.series_set))
    held = [route for routes in match._routes.values() for route in routes]
    taken = sum(len(one.series_set) + one.places.nbytes + one.series_ids.nbytes for one in held)
    assert 50_000 < taken < 100_000


def test_a_piece_without_samples_is_not_sent() -> None:
    one = batch(rows=1)
    one.values[0, :6] = MISSING[0]
    one.values.view(np.uint64)[0, :6] = MISSING.view(np.uint64)[0]
    assert sent(Match(book("up == 0", "load")), one).keys() == {"g/R1"}
    assert sent(Match(book("up == 0", "load")), sparse(one)).keys() == {"g/R1"}


def test_a_batch_that_the_gate_has_not_seen_is_refused() -> None:
    with pytest.raises(ValueError, match="series ids"):
        list(Match(book("up")).split(replace(batch(), series_ids=None)))


def test_an_address_survives_its_text() -> None:
    odd = Address("acme", 'g/"x"/y', "abc", 7)
    assert Address.parse(str(odd)) == odd
    assert odd.rule == 'acme/g/"x"/y'


def test_an_entry_of_a_distribution_is_no_sample_to_a_rule() -> None:
    one = sparse(batch())
    assert one.index is not None
    assert sent(Match(book("up > 0")), one)
    assert not sent(Match(book("up > 0")), replace(one, weights=np.ones(len(one.index), np.uint32)))
