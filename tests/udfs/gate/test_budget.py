"""The budget when its policy changes: who counts, and which values."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import codec
from schemas.policy import Policy
from tests.udfs.gate.pair import NOW, Pair, record, series
from udfs.gate.budget import ADMITTED, Budget
from udfs.gate.members import Level

MINUTE = 60_000
HOUR = 60 * MINUTE
LIMIT = [{"name": "hits", "per_label_value_limits": {"user": 100}}]
WINDOWS = [
    Policy.model_validate({"tenant": "acme", "window": window, "metrics": LIMIT}) for window in ("1m", "1h", "1d")
]
PAUSES = st.one_of(st.integers(0, 2 * MINUTE), st.integers(0, 3 * HOUR), st.integers(0, 40 * HOUR))


@pytest.mark.parametrize("minutes", [30, 70, 100])
def test_a_shorter_window_costs_no_active_series_its_place(minutes: int) -> None:
    start = NOW - NOW % (2 * HOUR)
    pair = Pair({"window": "1d", "max_series": 3})
    old, at = [series("hits", user=f"u{number}") for number in range(3)], start + minutes * MINUTE
    for when in (start, at - MINUTE):
        pair.send(record(old, when), when)
    pair.change({"window": "1h", "max_series": 3}, at - 10_000)
    pair.send(record([series("hits", user="u9")], at, source="t"), at)
    pair.send(record(old, at + 1), at + 1)
    assert pair.rejected == {"TG-tenant-series-limit": 1}
    assert pair.total("hits", at + 1) == 3


@given(st.lists(st.tuples(st.sampled_from(WINDOWS), PAUSES, st.integers(0, 5)), max_size=20))
def test_no_change_of_window_forgets_what_is_within_both_or_keeps_what_is_in_neither(
    steps: list[tuple[Policy, int, int]],
) -> None:
    budget, now = Budget("acme"), NOW
    seen: dict[int, tuple[int, set[int]]] = {}  # when last, and the windows since
    for policy, pause, number in steps:
        now += pause
        budget.decide([series("hits", user=f"u{number}")], np.array([number], np.uint64), "s", policy, now)
        seen[number] = now, set()
        members = set(budget.members.rows().ids.tolist())
        for one, (last, windows) in seen.items():
            windows.add(policy.window_ms)
            if now - last <= min(windows):
                assert one in members
            # A twelfth for the epoch it was seen in, a twelfth for the one that it is now.
            if now - last > max(windows) * 14 / 12:
                assert one not in members
        assert budget.values.count("hits", "user") == len(budget.members) == budget.total


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("window", ["1h", "1d"])
def test_a_value_limit_that_is_new_counts_what_is_there(window: str, restart: bool) -> None:
    pair = Pair({"window": window})
    start = NOW - NOW % (2 * HOUR)
    sets = [[series("hits", user=f"{host}{number}") for number in range(5)] for host in "abc"]
    for old in sets:
        pair.send(record(old, start), start)
    rule = {"name": "hits", "per_label_value_limits": {"user": 15}}
    pair.change({"window": window, "metrics": [rule]}, start)
    for step, old in enumerate(sets):
        at = start + 3000 + step
        pair.send(record(old, at), at)
        if restart:
            pair.restart()
    pair.send(record([*sets[0], series("hits", user="new")], at), at)
    assert pair.rejected == {"TG-label-values-limit": 1}


RULES: list[dict[str, object]] = [
    {},
    {"per_label_value_limits": {"user": 3}},
    {"per_label_value_limits": {"user": 9, "method": 1}},
    {"max_series": 4, "action": "fold"},
]
POLICIES = [
    Policy.model_validate({"tenant": "acme", "window": window, "metrics": [{"name": "*", **rule}]})
    for rule in RULES
    for window in ("1m", "1h")
]
BATCHES = st.lists(st.tuples(st.integers(0, 9), st.sampled_from("PG")), min_size=1, max_size=6, unique=True)


@given(st.lists(st.tuples(st.sampled_from(POLICIES), st.integers(0, 9000), BATCHES, st.booleans()), max_size=12))
def test_every_value_of_what_is_admitted_counts_whatever_was_in_force_before(
    steps: list[tuple[Policy, int, list[tuple[int, str]], bool]],
) -> None:
    budget, now = Budget("acme"), NOW
    for policy, pause, batch, restart in steps:
        now += pause
        rows = [series("hits", user=f"u{number}", method=method) for number, method in batch]
        ids = np.array([number * 2 + (method == "P") for number, method in batch], np.uint64)
        codes = budget.decide(rows, ids, "s", policy, now).codes
        rule = policy.metric("hits")
        for one, code in zip(rows, [0] * len(rows) if codes is None else codes, strict=True):
            for label, value in one.labels if code == ADMITTED else ():
                if label in rule.per_label_value_limits or rule.max_series:
                    assert budget.values.seen("hits", label, value) == budget.epoch
        if restart:
            budget = Budget.restore("acme", [budget.snapshot()])


CHUNKS = st.lists(
    st.dictionaries(st.integers(0, 30), st.tuples(st.sampled_from("abc"), st.integers(0, 1), st.integers(0, 9))),
    max_size=8,
)


@given(CHUNKS)
def test_restored_is_what_the_chunks_say_one_after_the_other(
    chunks: list[dict[int, tuple[str, int, int]]],
) -> None:
    expected: dict[int, tuple[str, int, int]] = {}
    stored: list[bytes] = []
    for chunk in chunks:
        names = sorted({name for name, _, _ in chunk.values()})
        rows = list(chunk.values())
        value = {
            "metric": "m",
            "label": "l",
            "hashes": np.array(list(chunk), "<u8").tobytes(),
            "epochs": np.array([epoch for _, _, epoch in rows], "<i8").tobytes(),
        }
        stored.append(
            codec("budget").encode(
                {
                    "epoch": len(stored),
                    "epoch_ms": 5,
                    "judged_by": 7,
                    "metrics": names,
                    "codes": np.array([names.index(name) for name, _, _ in rows], "<u4").tobytes(),
                    "ids": np.array(list(chunk), "<u8").tobytes(),
                    "overflow": np.array([over for _, over, _ in rows], np.uint8).tobytes(),
                    "epochs": np.array([epoch for _, _, epoch in rows], "<i8").tobytes(),
                    "values": [value],
                }
            )
        )
        expected.update(chunk)
    budget = Budget.restore("acme", stored)
    rows_read, names = budget.members.rows(), list(budget.metrics)
    columns = (rows_read.codes.tolist(), rows_read.overflow.tolist(), rows_read.epochs.tolist())
    read = {
        one: (names[code], over, epoch) for one, code, over, epoch in zip(rows_read.ids.tolist(), *columns, strict=True)
    }
    assert (read, list(read)) == (expected, sorted(expected))
    assert budget.total == len(expected)
    assert budget.epoch == max(0, len(chunks) - 1)
    assert budget.values.count("m", "l") == len(expected)
    assert set(names) == {name for name, _, _ in expected.values()}
    assert Budget.restore("acme", [budget.snapshot()]).snapshot() == budget.snapshot()


def test_a_restore_costs_what_the_chunks_hold_and_not_chunks_times_members() -> None:
    ids = np.unique(np.random.default_rng(1).integers(1, 1 << 63, 200_000, dtype=np.uint64))
    budget = Budget("acme", epoch=9, epoch_ms=7_200_000)
    policy = WINDOWS[2]
    rows = Level(ids, np.zeros(len(ids), np.uint32), np.zeros(len(ids), np.uint8), np.full(len(ids), 8, np.int64))
    budget._code("hits")
    budget.members.add(rows)
    stored = [budget.snapshot()]
    for part in np.array_split(np.arange(len(ids)), 5000):
        changed = rows.where(part)
        changed.epochs += 1
        budget._changed.append(changed)
        stored.append(budget.changes() or b"")
    begin = time.process_time()
    restored = Budget.restore("acme", stored)
    assert time.process_time() - begin < 5  # 0.1 s; chunk by chunk it was far more
    assert (restored.total, restored.epoch_of(policy)) == (len(ids), 9)
    assert set(restored.members.rows().epochs.tolist()) == {9}


@pytest.mark.parametrize("label", ["le", "quantile", "tidegauge_source"])
@pytest.mark.parametrize("limits", [{}, {"host": 1}])
def test_a_label_that_is_never_folded_is_refused_over_its_limit(label: str, limits: dict[str, int]) -> None:
    rule = {"name": "hits", "per_label_value_limits": {label: 2, **limits}}
    pair = Pair({"action": "fold", "metrics": [rule]})
    pair.send(record([series("hits", **{label: f"{number}", "host": f"h{number}"}) for number in range(5)]))
    assert pair.rejected == {"TG-label-values-limit": 3}
    assert {value for one in pair.names.values() for name, value in one.labels if name == label} <= {"0", "1", "s"}
