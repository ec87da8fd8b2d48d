"""Rates and shedding: what passes, what is refused by which name, and that one tenant costs another nothing."""

import pytest

from schemas.policy import Policy
from schemas.reason import Reason
from tests.udfs.gate.pair import NOW, Pair, record, series
from udfs.gate.account import Account
from udfs.gate.gate import Refused
from udfs.gate.standing import Standing
from udfs.gate.throttle import Throttle, Usage


def policy(**fields: object) -> Policy:
    return Policy.model_validate({"tenant": "acme", **fields})


def passed(throttle: Throttle, limits: Policy, seconds: int, batch: int, per_second: int, source: str = "s") -> int:
    """Return the samples that pass of per_second batches a second."""
    total = 0
    for step in range(seconds * per_second):
        now = NOW + step * 1000 // per_second
        total += batch if throttle.refuse(limits, "acme", source, batch, now, 0, 0) is None else 0
    return total


def test_a_rate_holds_after_the_burst() -> None:
    limits = policy(source_samples_per_second=100, source_samples_burst=500)
    assert passed(Throttle(), limits, 60, 10, 100) == 500 + 100 * 60 - 10


def test_a_rate_that_is_kept_is_never_refused() -> None:
    assert passed(Throttle(), policy(samples_per_second=1000), 60, 100, 10) == 60_000


def test_a_batch_larger_than_the_burst_passes_and_is_paid_for() -> None:
    assert passed(Throttle(), policy(samples_per_second=10, samples_burst=10), 100, 100, 1) == 1000


def test_sources_have_rates_of_their_own() -> None:
    throttle, limits = Throttle(), policy(source_samples_per_second=10, source_samples_burst=10)
    assert passed(throttle, limits, 10, 10, 10, "a") == 100
    assert passed(throttle, limits, 10, 10, 10, "b") == 100


@pytest.mark.parametrize(
    ("shares", "most"),
    [((1000, 0), 1000), ((1000, 1000), 1000), ((1000, 100), 1000), ((300, 300), 600)],
)
def test_a_tenants_rate_is_shared_by_subtasks(shares: tuple[int, int], most: int) -> None:
    limits = policy(samples_per_second=1000, samples_burst=1000)
    subtasks = [Throttle(number, 2) for number in range(2)]
    total = 0
    for step in range(60 * 20):
        now = NOW + step * 50
        for throttle, samples in zip(subtasks, shares, strict=True):
            batch = samples // 20 * 2  # both ask for twice what the case says, or less than the limit
            if most < 1000:
                batch = samples // 20
            if (
                batch
                and throttle.refuse(limits, "acme", "s", batch, now, 0, throttle.subtask) is None
                and step >= 20 * 20
            ):
                total += batch
        for one in subtasks:
            for usage in one.reports:
                for other in subtasks:
                    other.hear(Usage.decode(usage.encode()))
            one.reports.clear()
    assert total / 40 == pytest.approx(most, rel=0.1)


def test_the_refused_are_named_and_use_up_nothing() -> None:
    pair = Pair(
        {"source_samples_per_second": 1, "source_samples_burst": 2, "metrics": [{"name": "*", "max_series": 1}]}
    )
    for number in range(3):
        pair.send(record([series("m", n=str(number // 2)), series("k", n=str(number // 2))]))
    assert pair.rejected == {"TG-source-rate-limit": 4}
    assert pair.refused[0].refusal.limit == "1 samples a second, 2 at once"
    assert pair.budgets["acme"].counts() == {"m": (1, 0), "k": (1, 0)}


H = 3_600_000
RATES = ["samples_per_second", "source_samples_per_second"]


@pytest.mark.parametrize("field", RATES)
def test_a_clock_that_was_ahead_for_a_minute_costs_no_rate_afterwards(field: str) -> None:
    limits = policy(**{field: 100})
    throttle = Throttle()
    for second in range(1200):
        now = NOW + second * 1000 + (3 * H if 600 <= second < 660 else 0)
        for partition, source in enumerate("ab" if field == "samples_per_second" else "a"):
            batch = 50 if field == "samples_per_second" else 100
            assert throttle.refuse(limits, "acme", source, batch, now, 0, partition) is None, second


@pytest.mark.parametrize("field", RATES)
def test_a_clock_that_steps_back_gives_no_more_than_a_burst(field: str) -> None:
    limits, throttle, total = policy(**{field: 10}), Throttle(), 0
    for second in range(600):
        now = NOW + second * 1000 - (H if second >= 300 else 0)
        total += 100 * (throttle.refuse(limits, "acme", "s", 100, now, 0, 0) is None)
    assert total <= 10 * 600 + 2 * 100


def test_partitions_read_in_turns_share_one_rate() -> None:
    limits, throttle, total = policy(samples_per_second=10), Throttle(), 0
    for second in range(600):
        for partition, ahead in enumerate((0, 60_000)):
            now = NOW + second * 1000 + ahead
            total += 10 * (throttle.refuse(limits, "acme", "ab"[partition], 10, now, 0, partition) is None)
    assert total <= 10 * (600 + 60) + 100


@pytest.mark.parametrize("field", RATES)
@pytest.mark.parametrize("behind", [0, 50, 200, 2000, 60_000])
def test_a_source_in_several_partitions_has_one_rate(field: str, behind: int) -> None:
    limits, throttle, total = policy(**{field: 100}), Throttle(), 0
    for step in range(6000):
        partition = step % 2
        now = NOW + step * 10 - behind * partition
        total += 100 * (throttle.refuse(limits, "acme", "s", 100, now, 0, partition) is None)
    assert 100 * 55 <= total <= 100 * 60 + 1000


@pytest.mark.parametrize("field", RATES)
def test_polls_of_one_partition_after_the_other_share_one_rate(field: str) -> None:
    limits, throttle, total = policy(**{field: 100}), Throttle(), 0
    for second in range(60):
        for partition in range(4):
            for step in range(25):
                now = NOW + second * 1000 + step * 40
                total += 100 * (throttle.refuse(limits, "acme", "s", 100, now, 0, partition) is None)
    assert total <= 100 * 60 + 1000


@pytest.mark.parametrize("field", RATES)
def test_a_clock_that_is_set_back_a_little_time_and_again_gives_no_more_than_that(field: str) -> None:
    limits, throttle, total = policy(**{field: 100}), Throttle(), 0
    for step in range(6000):
        partition = step % 2
        now = NOW + step * 10 - 60_000 * partition - (5 if step % 100 == 50 else 0)
        total += 100 * (throttle.refuse(limits, "acme", "s", 100, now, 0, partition) is None)
    assert total <= 100 * 61 + 1000


@pytest.mark.parametrize("field", RATES)
def test_a_clock_that_was_ahead_costs_no_rate_where_only_others_are_seen_to_go_back(field: str) -> None:
    limits, throttle = policy(**{field: 100}), Throttle()
    for partition in range(2):
        throttle.refuse(limits, "acme", "s", 1, NOW + 3 * H, 0, partition)
    # No record comes to the second partition any more, and another tenant's to the first are as good as its own.
    throttle.refuse(policy(), "other", "o", 1, NOW, 0, 0)
    for second in range(1200):
        assert throttle.refuse(limits, "acme", "s", 100, NOW + second * 1000, 0, 2) is None, second


def test_what_a_subtask_heard_from_a_clock_that_was_ahead_counts_no_longer_than_that() -> None:
    limits, throttle = policy(samples_per_second=100, samples_burst=100), Throttle(1, 2)
    throttle.refuse(limits, "acme", "s", 1, NOW + 3 * H, 0, 0)
    throttle.hear(Usage("acme", 2, NOW + 3 * H, 50.0))
    taken = [50 * (throttle.refuse(limits, "acme", "s", 50, NOW + 500 * n, 0, 0) is None) for n in range(120)]
    assert sum(taken) >= 100 * 55


def test_the_gate_tells_partitions_apart() -> None:
    pair, refused = Pair({"samples_per_second": 10, "samples_burst": 10}), 0
    for step in range(600):
        now = NOW + step * 10 - 2000 * (step % 2)
        for one in pair.gates[0].judge(record([series("m")], now), now, step % 2):
            refused += isinstance(one, Refused) and one.refusal.reason is Reason.RATE
    assert 600 - refused <= 10 + 6 * 10


SHED: list[tuple[str, int, bool]] = [
    ("low", 30_000, False),
    ("low", 30_001, True),
    ("normal", 60_000, False),
    ("normal", 60_001, True),
    ("high", 9_999_999, False),
]


@pytest.mark.parametrize(("priority", "lag_ms", "shed"), SHED)
def test_the_lowest_priority_is_shed_first(priority: str, lag_ms: int, shed: bool) -> None:
    refusal = Throttle(shed_lag_ms=30_000).refuse(policy(priority=priority), "acme", "s", 5, NOW, lag_ms, 0)
    assert (refusal is not None) == shed
    if refusal is not None:
        assert (refusal.reason, refusal.samples) == (Reason.SHED, 5)


def test_without_the_setting_nothing_is_shed() -> None:
    assert Throttle().refuse(policy(priority="low"), "acme", "s", 5, NOW, 9_999_999, 0) is None


# How far the gate is behind as it catches up with an outage, s, and whose batches are shed then.
CATCHING_UP = [(0, ""), (31, "low"), (90, "low normal"), (61, "low normal"), (59, "low"), (30, ""), (0, "")]


def test_when_the_gate_lags_the_lowest_priority_is_shed_first_and_all_come_back() -> None:
    pair = Pair()
    standing = pair.gates[0].authority
    assert isinstance(standing, Standing)
    standing.throttle = Throttle(shed_lag_ms=30_000)
    tenants = ("low", "normal", "high")
    for priority in tenants:
        pair.policies.put(priority, Policy.model_validate({"tenant": priority, "priority": priority}).encode())
        pair.send(record([series("up"), series("load")], tenant=priority))
    for step, (lag_s, shed) in enumerate(CATCHING_UP, start=1):
        at = NOW + step * 1000
        found = []
        for priority in tenants:
            outcomes = list(
                pair.gates[0].judge(record([series("up"), series("load")], at, priority), at, 0, 0, lag_s * 1000)
            )
            account = outcomes[-1]
            assert isinstance(account, Account)
            assert account.balance == 0
            assert account.forwarded + account.shed == 2
            if account.shed:
                found.append(priority)
                assert isinstance(outcomes[0], Refused)
                assert outcomes[0].refusal.reason is Reason.SHED
        assert found == shed.split()
    assert {tenant: budget.total for tenant, budget in pair.budgets.items()} == dict.fromkeys(tenants, 2)
