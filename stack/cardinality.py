"""`tidegauge cardinality [--tenant T] [--hours N] [--policy]`: what makes new series, by metric, label and source."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

from query.reach import connect
from query.settings import QuerySettings
from sinks.clickhouse import Clickhouse
from sinks.refusal import ClickhouseError, Unavailable
from stack.whole import hours, whole

_SQL = """
SELECT tenant, name, argMax(label, series) AS label, max(values) AS values, argMax(examples, series) AS examples,
    argMax(source, series) AS source, max(series) AS most, sum(refused) AS refused,
    argMax(per_minute, last_seen) AS per_minute, toString(min(first_seen)) AS first_seen,
    argMax(policy, series) AS policy
FROM v_cardinality
WHERE time >= toStartOfHour(now('UTC')) - toIntervalHour({hours:UInt32})
    AND ({tenant:String} = '' OR tenant = {tenant:String})
GROUP BY tenant, name
ORDER BY most DESC
LIMIT {limit:UInt32}
"""


def found(clickhouse: Clickhouse, tenant: str, hours: int, limit: int) -> list[dict[str, Any]]:
    """Return the metrics with most new series in one hour, of one tenant or (empty) all; raises as the client does."""
    params: dict[str, str | int] = {"tenant": tenant, "hours": hours, "limit": limit}
    rows: list[dict[str, Any]] = clickhouse.query(_SQL, params).to_pylist()
    return rows


def text(row: Mapping[str, Any]) -> str:
    """Return a metric for people."""
    label = row["label"] or "no label"
    values = f"{row['values']} values of {label}" + (
        f" ({', '.join(row['examples'][:3])} …)" if row["examples"] else ""
    )
    return (
        f"{row['tenant']}  {row['name']}: {row['most']} new series in an hour, {row['per_minute']:.0f} a minute, "
        f"{row['refused']} refused or folded\n    {values}; mostly from {row['source']}; first seen {row['first_seen']}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(prog="tidegauge cardinality", description="Metrics that make new series.")
    parser.add_argument("--tenant", default="", help="only this tenant")
    parser.add_argument("--hours", type=hours, default=24, help="how far back; default 24")
    parser.add_argument("--limit", type=whole(1, 100_000), default=10, help="how many metrics; default 10")
    parser.add_argument("--policy", action="store_true", help="print policies that would hold them")
    args = parser.parse_args(argv)
    try:
        with closing(connect(QuerySettings(), attempts=3)) as clickhouse:
            rows = found(clickhouse, args.tenant, args.hours, args.limit)
    except (ClickhouseError, Unavailable) as error:
        print(error, file=sys.stderr)
        return 1
    for row in rows:
        print(text(row))
        if args.policy:
            print(row["policy"])
    if not rows:
        print(f"no metric made 100 new series in an hour within {args.hours} h")
    return 0


if __name__ == "__main__":
    sys.exit(main())
