import pytest

from promql.columns import Selector
from query import sql
from tests.query.statements import FOLDER, STATEMENTS, rendered


@pytest.mark.parametrize("name", STATEMENTS)
def test_sql_is_what_was_reviewed(name: str) -> None:
    assert rendered(STATEMENTS[name]) == (FOLDER / f"{name}.sql").read_text()


def test_no_golden_file_is_left_over() -> None:
    assert {path.stem for path in FOLDER.glob("*.sql")} == set(STATEMENTS)


@pytest.mark.parametrize("value", ["'", "\\", "--", "{x:String}", "'; DROP TABLE samples", "\0", "ü", "*/"])
def test_values_never_reach_the_text(value: str) -> None:
    plain = sql.series("t", Selector("m", (("l", "=", "v"),), 0, 1), 1)[0]
    assert sql.series(value, Selector(value, ((value, "=", value),), 0, 1), 1)[0] == plain
