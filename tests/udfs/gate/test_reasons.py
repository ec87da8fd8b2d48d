"""Every reason has a section in docs/errors.md, and a record that raises it. Each is counted once, by its id."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from schemas.batch import Batch, BatchBuilder, Series, encode_series_set
from schemas.codec import MAGIC, codec
from schemas.reason import Reason
from tests.udfs.gate.pair import NOW, Pair, record, series
from udfs.gate.account import Account
from udfs.gate.gate import Refused
from udfs.gate.standing import Standing
from udfs.gate.throttle import Throttle
from udfs.gate.usage import counted
from udfs.write.refused import refused_block

UP = series("up")
WHOLE = record([UP])


def columns(rows: int, cells: int) -> bytes:
    return Batch("acme", "s", NOW, encode_series_set([UP]), np.full(rows, NOW), np.ones((rows, cells))).encode()


def sparse(index: int, kind: str = "gauge", value: float = 1.0, weight: int = 1, count: int = 1) -> bytes:
    one = Series("m", (), kind)
    many = np.full(count, weight, np.uint32)
    places = np.full(count, index, np.uint32)
    values = np.full(count, value) + np.arange(count)
    return Batch("acme", "s", NOW, encode_series_set([one]), np.full(count, NOW), values, places, weights=many).encode()


RAISED: Mapping[Reason, bytes | tuple[dict[str, object], list[bytes]]] = {
    Reason.OVERSIZED: b"\0" * ((8 << 20) + 1),
    Reason.TRUNCATED: WHOLE[:-3],
    Reason.NOT_AVRO: b'{"up": 1, "job": "x"}',
    Reason.UNKNOWN_SCHEMA: MAGIC + b"12345678" + WHOLE[10:],
    Reason.MALFORMED: WHOLE + b"\0",
    Reason.COLUMN_LENGTH: columns(1, 2),
    Reason.SERIES_COUNT: Batch("t", "s", NOW, b"\0", np.array([NOW]), np.ones((1, 100_001))).encode(),
    Reason.TENANT: record([UP], tenant="a/b"),
    Reason.SOURCE: record([UP], source="s" * 2049),
    Reason.NAME: record([series("n" * 201)]),
    Reason.UNIT: record([Series("m", (), "gauge", "s" * 201)]),
    Reason.LABEL_NAME: record([Series("m", (("x" * 201, "1"),))]),
    Reason.LABEL_VALUE: record([series("m", a="x" * 3000)]),
    Reason.LABEL_COUNT: record([Series("m", tuple((f"l{n}", "x") for n in range(21)))]),
    Reason.LABEL_DUPLICATE: record([Series("m", (("a", "1"), ("a", "2")))]),
    Reason.SERIES_DUPLICATE: record([UP, UP]),
    Reason.TOO_FUTURE: record([UP], NOW + 700_000),
    Reason.TOO_OLD: record([UP], NOW - 7_300_000),
    Reason.SERIES_INDEX: sparse(5),
    Reason.DISTRIBUTION_TYPE: sparse(0, weight=2),
    Reason.DISTRIBUTION_VALUE: sparse(0, "distribution", value=float("inf")),
    Reason.WEIGHT: sparse(0, "distribution", weight=0),
    Reason.CENTROIDS: sparse(0, "distribution", count=5000),
    Reason.SERIES_LIMIT: ({"metrics": [{"name": "m", "max_series": 1}]}, [record([series("m", a="1"), series("m")])]),
    Reason.TENANT_SERIES_LIMIT: ({"max_series": 1}, [record([UP, series("m")])]),
    Reason.LABEL_VALUES_LIMIT: (
        {"metrics": [{"name": "m", "per_label_value_limits": {"a": 1}}]},
        [record([series("m", a="1"), series("m", a="2")])],
    ),
    Reason.RATE: ({"samples_per_second": 1, "samples_burst": 1}, [WHOLE, WHOLE]),
    Reason.SOURCE_RATE: ({"source_samples_per_second": 1, "source_samples_burst": 1}, [WHOLE, WHOLE]),
    Reason.CLOCK_SKEW: record([UP], sent=NOW - 61_000),
}


# What cannot be read has none to count, and a flag refuses none.
WITHOUT_SAMPLES = {
    Reason.OVERSIZED,
    Reason.TRUNCATED,
    Reason.NOT_AVRO,
    Reason.UNKNOWN_SCHEMA,
    Reason.MALFORMED,
    Reason.CLOCK_SKEW,
}


def shed() -> str:
    pair = Pair({"priority": "low"})
    standing = pair.gates[0].authority
    assert isinstance(standing, Standing)
    standing.throttle = Throttle(shed_lag_ms=1000)
    (refused, account) = pair.gates[0].judge(WHOLE, NOW, lag_ms=1001)
    assert isinstance(refused, Refused)
    assert isinstance(account, Account)
    assert dict([*counted(refused), *counted(account)]) == {
        "refusals_TG_shed": 1,
        "samples_received": 1,
        "samples_shed": 1,
    }
    return refused.refusal.reason.id


ELSEWHERE: Mapping[Reason, Callable[[], str]] = {
    Reason.SHED: shed,
    Reason.REFUSED_BLOCK: lambda: codec("rejected").decode(
        dict(refused_block("samples", pa.table({"tenant": ["acme"]}), ValueError("no"), NOW))["acme"]
    )["id"],
}
SECTIONS = dict(re.findall(r"^## (TG-\S+)\n(.*?)(?=^## |\Z)", Path("docs/errors.md").read_text(), re.M | re.S))


@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.id)
def test_every_reason_is_raised_and_counted(reason: Reason) -> None:
    if reason in ELSEWHERE:
        assert ELSEWHERE[reason]() == reason.id
        return
    raised = RAISED[reason]
    policy, records = raised if isinstance(raised, tuple) else ({}, [raised])
    pair = Pair(policy)
    for one in records:
        pair.send(one)
    assert [one.refusal.reason for one in pair.refused] == [reason]
    refusal = pair.refused[0].refusal
    assert sum(account.rejected.get(reason.id, 0) for account in pair.accounts) == refusal.samples
    counters = [*counted(pair.refused[0]), *(one for account in pair.accounts for one in counted(account))]
    dashless = reason.id.replace("-", "_")
    assert (f"refusals_{dashless}", 1) in counters
    assert sum(number for name, number in counters if name == f"rejected_{dashless}") == refusal.samples
    assert (refusal.samples > 0) == (reason not in WITHOUT_SAMPLES)
    assert sum(account.balance for account in pair.accounts) == 0
    said = codec("rejected").decode(refusal.encode("acme", "s", NOW))
    assert (said["id"], said["setting"]) == (reason.id, reason.setting)
    assert reason.meaning in said["message"]


@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.id)
def test_every_reason_has_a_section_that_names_its_setting(reason: Reason) -> None:
    assert len(SECTIONS[reason.id]) > 60
    assert reason.setting.split(" ")[0] in SECTIONS[reason.id]


def test_no_section_is_of_a_reason_that_is_gone() -> None:
    assert set(SECTIONS) == {reason.id for reason in Reason}


def test_the_builder_raises_none() -> None:
    builder = BatchBuilder("acme", "s")
    builder.add_scrape(NOW, [(UP, 1.0)])
    pair = Pair()
    pair.send(builder.build(NOW).encode())
    assert (pair.refused, len(pair.samples)) == ([], 1)


M = {"name": "m"}
TWO = [series("m", a="1", b="1"), series("m", a="2", b="2")]
OWN = "in the tenant's policy"
# policy, records, value, limit, setting
LIMITED: list[tuple[dict[str, object], list[bytes], str, str, str]] = [
    ({"max_series": 1}, [record(TWO)], "m", "1 series", f"max_series {OWN}"),
    ({"window": "1d"}, [record(TWO)], "m", "1 series", "TIDEGAUGE_GATE_MAX_SERIES"),
    ({}, [record(TWO)], "m", "1 series", "TIDEGAUGE_GATE_MAX_SERIES"),
    (
        {"max_series": 9, "metrics": [{**M, "max_series": 1}]},
        [record(TWO)],
        "m",
        "1 series",
        Reason.SERIES_LIMIT.setting,
    ),
    (
        {"max_series": 9, "metrics": [{**M, "max_series": 1, "action": "fold"}]},
        [record([series("m", le=str(number)) for number in range(3)])],
        *("m", "1 series and 1 folded series", Reason.SERIES_LIMIT.setting),
    ),
    (
        {"max_series": 9, "metrics": [{**M, "per_label_value_limits": {"a": 1}}]},
        [record(TWO)],
        *("m: a=2", "1 values of a", Reason.LABEL_VALUES_LIMIT.setting),
    ),
    (
        {"max_series": 9, "metrics": [{**M, "per_label_value_limits": {"a": 1, "b": 5}}]},
        [record(TWO)],
        *("m: a=2, b=2", "1 values of a, 5 values of b", Reason.LABEL_VALUES_LIMIT.setting),
    ),
    ({"max_labels": 1}, [record(TWO[:1])], "m has 2", "1 labels", f"max_labels {OWN}"),
    (
        {"future_grace_s": 0},
        [record([UP], NOW + 1000)],
        f"{NOW + 1000} ms, +1 s from the broker's clock",
        "0 s ahead",
        f"future_grace_s {OWN}",
    ),
    (
        {"tolerance_s": 60},
        [record([UP], NOW - 61_000)],
        f"{NOW - 61_000} ms, -61 s from the broker's clock",
        "60 s behind",
        f"tolerance_s {OWN}",
    ),
    (
        {"tolerance_s": 86_400},
        [record([UP], NOW - 7_201_000)],
        *(f"{NOW - 7_201_000} ms, -7201 s from the broker's clock", "7200 s behind", "TIDEGAUGE_GATE_TOLERANCE_S"),
    ),
    ({}, [record([series("m", a="x\0")])], "a=x\0", "2048 characters", ""),
    (
        {},
        [
            Batch(
                "acme", "s", 0, encode_series_set([UP] * 100_001), np.array([NOW]), np.ones(1), np.zeros(1, np.uint32)
            ).encode()
        ],
        *("100001 series in a set", "100000 series", "TIDEGAUGE_GATE_MAX_SERIES_PER_BATCH"),
    ),
    (
        {},
        [record([Series("m", tuple((f"l{number}", "x") for number in range(4001)))])],
        *("4001 labels, 4000 at most after those of the other series", "4000 labels in a set, and 64 a series", ""),
    ),
]


@pytest.mark.parametrize(("policy", "records", "value", "limit", "setting"), LIMITED)
def test_a_refusal_has_the_value_the_limit_and_what_changes_it(
    policy: dict[str, object], records: list[bytes], value: str, limit: str, setting: str
) -> None:
    pair = Pair(policy, max_series=1)
    for one in records * 2:
        pair.send(one)
    assert pair.refused
    for refused in pair.refused:
        said = codec("rejected").decode(refused.refusal.encode("acme", "s", NOW))
        assert (said["value"], said["limit"], said["setting"]) == (value, limit, setting)


UTF8 = "utf8 in the tenant's policy"
LENGTH = "TIDEGAUGE_GATE_MAX_NAME_LENGTH"
REMEDIES = [
    # utf8, series, what helps
    (False, series("bad name!"), UTF8),
    (False, Series("m", (("a-b", "1"),)), UTF8),
    (False, series("bad name!" * 30), LENGTH),
    (True, series("ü" * 201), LENGTH),
    (True, Series("m", (("ü" * 201, "1"),)), LENGTH),
    (False, series(""), ""),
    (True, series("a\0"), ""),
    (True, Series("m", (("__x", "1"),)), ""),
]


@pytest.mark.parametrize(("utf8", "one", "remedy"), REMEDIES)
def test_what_a_name_is_told_to_change_lets_it_in(utf8: bool, one: Series, remedy: str) -> None:
    pair = Pair({"utf8": utf8})
    pair.send(record([one, UP]))
    (refused,) = pair.refused
    said = codec("rejected").decode(refused.refusal.encode("acme", "s", NOW))
    assert (said["setting"], said["series"], said["samples"]) == (remedy, 1, 1)
    assert f"; {remedy} changes it" in said["message"] if remedy else "changes it" not in said["message"]
    if remedy == UTF8:
        pair = Pair({"utf8": True})
        pair.send(record([one, UP]))
        assert not pair.refused


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"garbage", Reason.NOT_AVRO),
        (b"x", Reason.NOT_AVRO),
        (b"", Reason.TRUNCATED),
        (MAGIC[:1], Reason.TRUNCATED),
        (MAGIC + b"123", Reason.TRUNCATED),
    ],
)
def test_a_short_record_is_told_by_how_it_begins(data: bytes, reason: Reason) -> None:
    pair = Pair()
    pair.send(data)
    assert [one.refusal.reason for one in pair.refused] == [reason]
