"""Series of limits and their use: who has how much, who is refused, and no more of them than is stated."""

from schemas.batch import decode_series_set
from schemas.codec import codec
from schemas.reason import Reason
from stack.metrics import COUNTED
from tests.udfs.gate.pair import NOW, Pair, record, series
from udfs.gate.account import OUTCOMES, Account
from udfs.gate.gate import Refused, Unknown
from udfs.gate.refusal import Refusal
from udfs.gate.usage import TALLY_MS, TELL_MS, TENANTS, WORST, Tally, Told, Use, counted, counter_of, gauges

POLICY = {
    "max_series": 8,
    "samples_per_second": 100,
    "metrics": [{"name": "hits", "max_series": 3, "per_label_value_limits": {"user": 4}}, {"name": "*"}],
}


def text(told: Told) -> dict[str, float]:
    found = {}
    for one, value in told:
        labels = ",".join(f"{name}={value}" for name, value in one.labels if name != "tenant")
        assert dict(one.labels)["tenant"] == "acme"
        found[f"{one.name.removeprefix('tidegauge_gate_')}{{{labels}}}"] = value
    return found


def told(pair: Pair, use: Use, clock: int) -> Told:
    """Bring what a subtask has counted to the owner, who tells the use if it is due."""
    tally = Tally()
    for account in pair.accounts:
        tally.add(account.tenant, account)
    pair.accounts.clear()
    for tenant, data in tally.due(clock):
        use.add(tenant, codec("tally").decode(data)["counts"])
    return use.due("acme", pair.budgets["acme"], pair.policies.of("acme", clock), clock)


def test_use_and_limits_are_told() -> None:
    pair, use = Pair(POLICY), Use("ops")
    pair.send(record([series("hits", user=f"u{number}") for number in range(5)]))
    pair.send(record([series("up")]))
    first = told(pair, use, NOW)
    assert text(first) == {
        "series{}": 4,
        "series_limit{}": 8,
        "metric_series{metric=hits}": 3,
        "metric_series_limit{metric=hits}": 3,
        "label_values{label=user,metric=hits}": 3,
        "label_values_limit{label=user,metric=hits}": 4,
        "samples_total{outcome=received}": 6,
        "samples_total{outcome=forwarded}": 4,
        "rejected_samples_total{id=TG-series-limit}": 2,
    }
    pair.send(record([series("up")] + [series(f"m{number}") for number in range(6)]))
    assert told(pair, use, NOW + TELL_MS - 1) == []
    second = text(told(pair, use, NOW + TELL_MS))
    # A rate is of what the limit lets pass, refused for another reason or not.
    assert second["samples_per_second{}"] == 7 * 1000 / TELL_MS
    assert second["samples_per_second_limit{}"] == 100
    assert (second["series{}"], second["rejected_samples_total{id=TG-tenant-series-limit}"]) == (8, 2)


def test_what_is_told_is_a_batch_of_the_operators() -> None:
    pair, use = Pair(POLICY), Use("ops")
    pair.send(record([series("hits", user="u1")]))
    first = told(pair, use, NOW)
    batch = use.batch("acme", first, NOW)
    assert batch is not None
    assert (batch.tenant, batch.source, batch.sent_at, batch.timestamps.tolist()) == ("ops", "gate:acme", NOW, [NOW])
    assert dict(zip(decode_series_set(batch.series_set), batch.values[0].tolist(), strict=True)) == dict(first)
    again = Pair()
    assert again.send(batch.encode()) == "slow"
    assert again.refused == []
    assert dict(gauges(first)) == {"series": 1, "series_limit": 8}
    assert Use("").batch("acme", first, NOW) is None
    assert use.batch("acme", [], NOW) is None


def test_what_a_rate_refuses_or_is_shed_is_no_use_of_the_rate() -> None:
    use, pair = Use("ops"), Pair(POLICY)
    pair.send(record([series("up")]))
    told(pair, use, NOW)
    use.add("acme", {"received": 3000, "shed": 500, "TG-rate-limit": 500, "TG-source-rate-limit": 500})
    second = text(told(pair, use, NOW + TELL_MS))
    assert second["samples_per_second{}"] == 100.0
    assert (second["samples_total{outcome=shed}"], second["rejected_samples_total{id=TG-rate-limit}"]) == (500, 500)


def test_series_and_tenants_are_bounded() -> None:
    metrics = [{"name": f"m{number}", "max_series": 100, "per_label_value_limits": {"a": 5}} for number in range(50)]
    pair, use = Pair({"metrics": metrics}), Use("ops")
    pair.send(record([series(f"m{number}", a=f"v{one}") for number in range(50) for one in range(number % 3 + 1)]))
    found = text(told(pair, use, NOW))
    assert sum(name.startswith("metric_series{") for name in found) == WORST
    assert sum(name.startswith("label_values{") for name in found) == WORST
    assert {value for name, value in found.items() if name.startswith("metric_series{")} == {3.0}
    tally = Tally()
    for number in range(TENANTS + 100):
        tally.add(f"tenant-{number}", Account(received=1, forwarded=1))
        use.add(f"tenant-{number}", {"received": 1})
    assert len(list(tally.due(NOW))) == TENANTS
    assert use.due("acme", pair.budgets["acme"], pair.policies.of("acme", NOW), NOW + TELL_MS) == []


def test_a_tally_is_told_every_five_seconds_and_tells_what_came_since() -> None:
    tally, one = Tally(), Account(tenant="acme", received=3, forwarded=2, rejected={"TG-too-old": 1})
    tally.add("acme", one)
    tally.add("", Account(received=1))  # nobody's: its tenant is refused
    assert [codec("tally").decode(data)["counts"] for _, data in tally.due(NOW)] == [
        {"received": 3, "forwarded": 2, "TG-too-old": 1}
    ]
    tally.add("acme", one)
    assert list(tally.due(NOW + TALLY_MS - 1)) == []
    tally.add("acme", one)
    tally.add("other")  # its record is with the owner
    assert [(tenant, codec("tally").decode(data)["counts"]) for tenant, data in tally.due(NOW + TALLY_MS)] == [
        ("acme", {"received": 6, "forwarded": 4, "TG-too-old": 2}),
        ("other", {}),
    ]


def test_a_clock_that_went_back_makes_use_due() -> None:
    tally, use, pair = Tally(), Use("ops"), Pair(POLICY)
    pair.send(record([series("up")]))
    ahead = NOW + 3 * 3_600_000
    assert told(pair, use, ahead)
    use.add("acme", {"received": 3})
    assert "samples_per_second{}" not in text(told(pair, use, NOW))
    assert told(pair, use, NOW + TELL_MS - 1) == []
    tally.add("acme")
    assert len(list(tally.due(ahead))) == 1
    tally.add("acme")
    assert len(list(tally.due(NOW))) == 1


def test_counters_have_names_that_the_metrics_endpoint_gives_out() -> None:
    names = [counter_of(name) for name in (*OUTCOMES, *(reason.id for reason in Reason))]
    names += [name for reason in Reason for name, _ in counted(Refused("acme", "s", Refusal(reason, "")))]
    names += [name for name, _ in counted(Unknown("acme"))]
    names += [name for name, _ in counted(Account(received=1)) if name != "samples_received"]
    assert len(set(names)) == len(names) == len(OUTCOMES) + 2 * len(Reason) + 2
    assert [name for name in names if not COUNTED.fullmatch(name)] == []
