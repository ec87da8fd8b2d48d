"""Accounts as rows of the ledger: what a replay writes again counts once, and the view tells what is missing."""

import pyarrow as pa
import pytest

from sinks import rows
from sinks.clickhouse import Clickhouse
from sinks.ddl import apply
from tests import embedded
from udfs.gate.account import Account

MINUTE = 1_800_000_000_000 // 60_000 * 60_000


@pytest.fixture(scope="module")
def clickhouse() -> Clickhouse:
    apply(embedded.endpoint(), "default", "", "accounts")
    return Clickhouse(embedded.endpoint(), database="accounts")


def account(offset: int, tenant: str = "acme", at: int = MINUTE, **counts: int) -> Account:
    made = Account(tenant, at, 3, offset)
    for name, count in counts.items():
        setattr(made, name, count)
    return made


def block(*accounts: Account) -> pa.Table:
    return rows.block("ledger", [one.encode() for one in accounts])


def ask(clickhouse: Clickhouse, tenant: str) -> list[dict[str, object]]:
    sql = "SELECT * EXCEPT (tenant, time) FROM v_ledger WHERE tenant = {tenant:String} ORDER BY time"
    found = clickhouse.query(sql, {"tenant": tenant}).to_pylist()
    return [
        {name: dict(v) if isinstance(v, list) else v for name, v in row.items() if v not in (0, [])} for row in found
    ]


def test_a_record_counts_once_however_often_it_is_written(clickhouse: Clickhouse) -> None:
    whole = account(2, received=10, forwarded=10)
    odd = account(1, received=9, forwarded=2, merged=1, folded=1, deduplicated=1, shed=1)
    odd.rejected = {"TG-too-old": 2, "TG-series-limit": 1}
    odd.would = {"folded": 2}
    for _ in range(2):
        clickhouse.insert("ledger", block(whole, odd, account(5, at=MINUTE + 60_000, received=1, forwarded=1)))
    first, second = ask(clickhouse, "acme")
    counts = {"merged": 1, "folded": 1, "deduplicated": 1, "shed": 1, "rejected": 3}
    by_id = {"TG-too-old": 2, "TG-series-limit": 1}
    assert first == {
        **{"records": 2, "received": 19, "forwarded": 12, "rejected_by_id": by_id, "would": {"folded": 2}},
        **counts,
    }
    assert second == {"records": 1, "received": 1, "forwarded": 1}


def test_what_is_missing_shows(clickhouse: Clickhouse) -> None:
    clickhouse.insert("ledger", block(account(1, "lossy", received=10, forwarded=7), account(2, "lossy")))
    assert [row["missing"] for row in ask(clickhouse, "lossy")] == [3]


def test_rows_come_in_the_tables_order() -> None:
    table = block(account(9), account(4, "b"), account(4), account(1, "b", MINUTE + 60_000))
    assert [(row["tenant"], row["offset"]) for row in table.to_pylist()] == [
        ("acme", 4),
        ("acme", 9),
        ("b", 4),
        ("b", 1),
    ]


def test_records_that_no_gate_has_told_of_show_as_gaps() -> None:
    apply(embedded.endpoint(), "default", "", "gaps")
    clickhouse = Clickhouse(embedded.endpoint(), database="gaps")
    later = MINUTE + 120_000
    told = [account(offset) for offset in (4, 5, 9)] + [
        account(10, "other"),
        account(30, at=later),
        account(31, at=later),
    ]
    # Of a topic that was deleted and made anew: its offsets go on from before, long ago.
    told += [account(500, at=MINUTE - 86_400_000), account(501, at=MINUTE - 86_400_000)]
    for _ in range(2):
        clickhouse.insert("ledger", block(*told))
    found = clickhouse.query("SELECT * FROM v_gaps ORDER BY partition, first_offset").to_pylist()
    assert [(one["first_offset"], one["last_offset"], one["records"]) for one in found] == [(6, 8, 3), (11, 29, 19)]
    assert {one["partition"] for one in found} == {3}
    assert [one["until"] * 1000 for one in found] == [MINUTE, later]
    clickhouse.close()
