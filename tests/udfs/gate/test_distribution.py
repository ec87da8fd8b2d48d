"""Weights at the gate: a distribution passes or is refused whole, and its neighbours pass."""

import numpy as np
import pytest

from schemas.batch import Batch, BatchBuilder, Series, encode_series_set
from schemas.codec import codec
from schemas.ids import series_id
from schemas.nan import MISSING, STALE
from schemas.reason import Reason
from udfs.gate.account import Account
from udfs.gate.gate import Gate, Passed, Refused
from udfs.gate.limits import Limits

NOW = 1_800_000_000_000
LIMITS = Limits(max_centroids=4)
LATENCY = Series("latency_seconds", (("handler", "/"),), "distribution")
UP = Series("up", (("job", "node"),), "gauge")
SERIES = [UP, LATENCY]

Entry = tuple[int, int, float, int]  # place in SERIES, ms, value, weight
GOOD: list[Entry] = [(0, NOW, 1.0, 1), (1, NOW - 1, 0.5, 2), (1, NOW - 1, 0.25, 1), (0, NOW - 1, 0.0, 1)]


def batch_of(entries: list[Entry], series: list[Series] = SERIES) -> Batch:
    index, stamps, values, weights = zip(*entries, strict=True)
    return Batch(
        "acme",
        "web-1",
        NOW,
        encode_series_set(series),
        np.array(stamps),
        np.array(values),
        np.array(index, np.uint32),
        weights=np.array(weights, np.uint32),
    )


def judged(batch: Batch, shards: int = 1) -> tuple[list[Batch], list[Refused]]:
    outcomes = list(Gate.open(shards, LIMITS).judge(batch.encode(), NOW))
    return (
        [one.batch for one in outcomes if isinstance(one, Passed)],
        [one for one in outcomes if isinstance(one, Refused)],
    )


def entries_of(passed: list[Batch]) -> list[tuple[int, int, float, int | None]]:
    """Return (series id, ms, value, weight or None) of all that passed."""
    found = []
    for one in passed:
        assert one.series_ids is not None
        index, stamps, values = one.points()
        weights = [None] * len(index) if one.weights is None else one.weights.tolist()
        found += list(zip(one.series_ids[index].tolist(), stamps.tolist(), values.tolist(), weights, strict=True))
    return sorted(found, key=str)


IDS = [series_id("acme", one.name, one.labels) for one in SERIES]


def test_behind_the_gate_a_batch_is_plain_or_of_distributions() -> None:
    passed, refused = judged(batch_of(GOOD))
    assert not refused
    assert len(passed) == 2
    expected = [(IDS[place], at, value, weight if place else None) for place, at, value, weight in GOOD]
    assert entries_of(passed) == sorted(expected, key=str)


BAD = [
    # what, entries beside the good ones, reason, entries that it costs, what is shown
    ("NaN", [(1, NOW, float("nan"), 1)], Reason.DISTRIBUTION_VALUE, 1, "value nan"),
    ("infinite", [(1, NOW, 1.0, 1), (1, NOW, float("-inf"), 1)], Reason.DISTRIBUTION_VALUE, 2, "value -inf"),
    ("staleness marker", [(1, NOW, float(STALE[0]), 1)], Reason.DISTRIBUTION_VALUE, 1, "value nan"),
    ("weight 0", [(1, NOW, 1.0, 0), (1, NOW, 2.0, 5)], Reason.WEIGHT, 2, "weight 0"),
    ("sum of weights", [(1, NOW, 1.0, 2**31), (1, NOW, 2.0, 2**31)], Reason.WEIGHT, 2, "that sum to 4294967296"),
    ("too many", [(1, NOW, float(n), 1) for n in range(5)], Reason.CENTROIDS, 5, "5 values"),
    ("weight of a gauge", [(0, NOW - 2, 1.0, 2)], Reason.DISTRIBUTION_TYPE, 1, "up: weight 2"),
    ("weight 0 of a gauge", [(0, NOW - 2, 1.0, 0)], Reason.DISTRIBUTION_TYPE, 1, "up: weight 0"),
]  # fmt: skip


@pytest.mark.parametrize(("entries", "reason", "cost", "shown"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_a_bad_distribution_is_refused_whole_and_by_name(
    entries: list[Entry], reason: Reason, cost: int, shown: str
) -> None:
    mixed = [*entries[:1], *GOOD, *entries[1:]]
    passed, refused = judged(batch_of(mixed))
    assert [(one.refusal.reason, one.refusal.samples) for one in refused] == [(reason, cost)]
    assert shown in refused[0].refusal.value
    assert entries_of(passed) == entries_of(judged(batch_of(GOOD))[0])
    said = codec("rejected").decode(refused[0].refusal.encode("acme", "web-1", NOW))
    assert said["id"] == reason.id
    assert said["setting"] == ("TIDEGAUGE_GATE_MAX_CENTROIDS" if reason is Reason.CENTROIDS else "")


def test_the_limits_themselves_are_inside() -> None:
    entries = [(1, NOW, float(n), 1) for n in range(3)] + [(1, NOW, 3.0, 2**32 - 4)]
    passed, refused = judged(batch_of(entries))
    assert (len(entries_of(passed)), refused) == (4, [])


def test_without_weights_each_value_weighs_one() -> None:
    values = np.concatenate([[1.0, 2.0], MISSING, [4.0]]).reshape(2, 2)
    dense = Batch("acme", "s", NOW, encode_series_set(SERIES), np.array([NOW - 1, NOW]), values)
    passed, refused = judged(dense)
    assert not refused
    one = [(IDS[0], NOW - 1, 1.0, None), (IDS[1], NOW - 1, 2.0, 1), (IDS[1], NOW, 4.0, 1)]
    assert entries_of(passed) == sorted(one, key=str)


def test_a_single_metric_record_may_be_a_distribution() -> None:
    point = {"tenant": "acme", "source": "s", "name": "m", "labels": {}, "timestamp": NOW, "value": 3.0}
    data = codec("metric").encode({**point, "type": "distribution", "unit": ""})
    outcomes = list(Gate.open(1, LIMITS).judge(data, NOW))
    passed = [one.batch for one in outcomes if isinstance(one, Passed)]
    assert [entry[1:] for entry in entries_of(passed)] == [(NOW, 3.0, 1)]


def test_times_and_strays_are_judged_as_ever() -> None:
    entries = [*GOOD, (7, NOW, 1.0, 1), (1, 0, 1.0, 1), (1, NOW + 10**9, 1.0, 0)]
    passed, refused = judged(batch_of(entries))
    reasons = sorted(one.refusal.reason.id for one in refused)
    assert reasons == ["TG-series-index", "TG-too-future", "TG-too-old"]
    assert entries_of(passed) == entries_of(judged(batch_of(GOOD))[0])


@pytest.mark.parametrize("seed", range(20))
def test_every_entry_is_passed_or_refused(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pool = [UP, LATENCY, Series("bad name", (), "distribution"), Series("other", (), "distribution")]
    many = 60
    batch = batch_of([(0, NOW, 1.0, 1)] * many, pool)
    batch.index = rng.integers(0, 5, many).astype(np.uint32)
    batch.timestamps = NOW + rng.integers(-3, 3, many) * 3_000_000
    batch.weights = rng.integers(0, 9, many).astype(np.uint32)
    batch.values = np.where(rng.random(many) < 0.05, np.nan, rng.normal(size=many))
    passed, refused = judged(batch, shards=3)
    account = list(Gate.open(3, LIMITS).judge(batch.encode(), NOW))[-1]
    assert isinstance(account, Account)
    known = sum(one.refusal.samples for one in refused) + account.deduplicated
    assert len(entries_of(passed)) + known == many
    assert (account.received, account.balance) == (many, 0)


def test_the_builder_and_the_gate_agree() -> None:
    builder = BatchBuilder("acme", "web-1")
    builder.add_scrape(NOW, [(UP, 1.0)])
    builder.add_distribution(NOW, LATENCY, [0.1, 0.2], [3, 4])
    passed, refused = judged(builder.build(NOW))
    assert not refused
    assert {one[3] for one in entries_of(passed)} == {None, 3, 4}
