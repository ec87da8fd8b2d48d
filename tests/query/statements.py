"""Golden files of tests/query: python -m tests.query.statements writes them anew; the diff is for review."""

import json
from pathlib import Path

from promql.columns import Selector
from promql.plan import Select
from query import sql

FOLDER = Path(__file__).parent / "golden"
_ALL = (("a", "=", "1"), ("b", "!=", "x'\\y"), ("c", "=~", "a|b"), ("__name__", "!~", "go_.*"))

STATEMENTS: dict[str, sql.Statement] = {
    "series_of_a_metric": sql.series("acme", Selector("up", (), 1000, 2000), 10),
    "series_all_matchers": sql.series("acme", Selector("", _ALL, 1000, 2000), 10),
    "samples_of_a_metric": sql.samples("acme", Selector("up", (), 1000, 2000), ["up"], None, 100, False),
    "samples_by_id_final": sql.samples("acme", Selector("up", _ALL, 1000, 2000), ["up"], [2**64 - 1, 7], 100, True),
    "arrived_later": sql.arrived_later("acme", Selector("up", _ALL, 1000, 2000), ["up"], [7], 1500, 100),
    "completeness": sql.completeness("acme", "1m", 3600),
    "versions": sql.versions("acme", ["down", "up"], 1000, 7_200_000),
    "label_sets": sql.label_sets("acme", Select("up", _ALL[:1]), 1000, 2000, 10),
    "label_names": sql.label_names("acme", None, 1000, 2000),
    "label_values": sql.label_values("acme", "job", Select("up", ()), 1000, 2000),
    "metric_names": sql.label_values("acme", "__name__", None, 1000, 2000),
}


def rendered(statement: sql.Statement) -> str:
    text, params = statement
    return f"{text.strip()}\n\n-- {json.dumps(params, sort_keys=True)}\n"


def main() -> None:
    for name, statement in STATEMENTS.items():
        (FOLDER / f"{name}.sql").write_text(rendered(statement))


if __name__ == "__main__":
    main()
