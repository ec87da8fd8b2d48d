"""Golden files of tests/query: python -m tests.query.statements writes them anew; the diff is for review."""

import json
from pathlib import Path

from promql.columns import Selector
from promql.plan import Select
from query import inserts, sql, sql_catalog

FOLDER = Path(__file__).parent / "golden"
_ALL = (("a", "=", "1"), ("b", "!=", "x'\\y"), ("c", "=~", "a|b"), ("__name__", "!~", "go_.*"))

STATEMENTS: dict[str, sql.Statement] = {
    "series_of_a_metric": sql.series("acme", Selector("up", (), 1000, 2000), 10),
    "series_all_matchers": sql.series("acme", Selector("", _ALL, 1000, 2000), 10),
    "samples_of_a_metric": sql.samples("acme", Selector("up", (), 1000, 2000), ["up"], None, 100, False),
    "samples_by_id_final": sql.samples("acme", Selector("up", _ALL, 1000, 2000), ["up"], [2**64 - 1, 7], 100, True),
    "arrived_later": sql.arrived_later("acme", Selector("up", _ALL, 1000, 2000), ["up"], [7], 1500, 100),
    "completeness": sql.completeness("acme", "1m", 3600, 1_714_608_000),
    "written": inserts.statement("tidegauge"),
    "versions": sql.versions("acme", ["down", "up"], 1000, 7_200_000),
    "label_sets": sql_catalog.label_sets("acme", Select("up", _ALL[:1]), 1000, 2000, 10),
    "label_names": sql_catalog.label_names("acme", None, 1000, 2000, 50),
    "label_values": sql_catalog.label_values("acme", "job", Select("up", ()), 1000, 2000, 50),
    "metric_names": sql_catalog.label_values("acme", "__name__", None, 1000, 2000, 50),
    "metadata": sql_catalog.metadata("acme", "", 50),
    "metadata_of_one": sql_catalog.metadata("acme", "up", 50),
    "head": sql_catalog.head("acme"),
    "alerts": sql_catalog.alerts("acme", 50),
    "rules": sql_catalog.rules("acme", 50),
    "estimate": sql.estimate(sql.samples("acme", Selector("up", (), 1000, 2000), ["up"], [7], 100, False)),
    **{f"top_{name}": sql_catalog.top("acme", name, 10) for name in sql_catalog.TOPS},
}


def rendered(statement: sql.Statement) -> str:
    text, params = statement
    return f"{text.strip()}\n\n-- {json.dumps(params, sort_keys=True)}\n"


def main() -> None:
    for name, statement in STATEMENTS.items():
        (FOLDER / f"{name}.sql").write_text(rendered(statement))


if __name__ == "__main__":
    main()
