"""`tidegauge cardinality [--tenant T] [--hours N] [--policy]`: what makes new series, by metric, label and source.

With --policy it prints a file for `tidegauge policy apply`. That replaces a tenant's whole policy, so the file has all
that is in force beside what would hold the metrics; everything else in it is a comment.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from typing import Any

import yaml
from kafka.errors import KafkaError

from query.reach import connect
from query.settings import QuerySettings
from schemas.policy import ANY_METRIC, ANYONE, Metric, Policy, PolicyFault, parse
from schemas.topics import POLICIES
from sinks.clickhouse import Clickhouse
from sinks.control import stored
from sinks.refusal import ClickhouseError, Unavailable
from stack.policy import PolicySettings
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
    """Return a metric for people, on two lines: whatever a producer named so is shown without control characters."""
    shown = {key: _plain(value) if isinstance(value, str) else value for key, value in row.items()}
    label, examples = shown["label"] or "no label", ", ".join(map(_plain, row["examples"][:3]))
    values = f"{row['values']} values of {label}" + (f" ({examples} …)" if examples else "")
    return (
        f"{shown['tenant']}  {shown['name']}: {row['most']} new series in an hour, {row['per_minute']:.0f} a minute, "
        f"{row['refused']} refused or folded\n"
        f"    {values}; mostly from {shown['source']}; first seen {row['first_seen']}"
    )


def _plain(text: str) -> str:
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def document(rows: Iterable[Mapping[str, Any]], held: Mapping[str, bytes]) -> str:
    """Return a policy file that would hold the metrics of rows; held: what control.policies has.

    Raises PolicyFault if it becomes too large to be applied.
    """
    wanted: dict[str, list[tuple[str, Metric]]] = defaultdict(list)
    said: list[str] = []
    for row in rows:
        said += text(row).splitlines()
        (asked,) = parse(row["policy"], "suggestion")
        wanted[row["tenant"]] += [(row["name"], one) for one in asked.metrics]
    policies = []
    for tenant, metrics in wanted.items():
        try:
            policy, why = _start(tenant, held)
        except PolicyFault as fault:
            said.append(_plain(f"{tenant}: left out, since its policy cannot be read: {fault}"))
            continue
        said.append(why)
        policies.append(merged(policy, metrics).model_dump(mode="json", exclude_defaults=True))
    made = "".join(f"# {line}\n" for line in said)
    made += yaml.safe_dump({"policies": policies}, sort_keys=False, default_flow_style=None, width=120)
    parse(made, "the suggestion, which --limit makes smaller,")
    return made


def _start(tenant: str, held: Mapping[str, bytes]) -> tuple[Policy, str]:
    """Return the policy that is in force for a tenant, as one of its own, and where it comes from."""
    key = next((one for one in (tenant, ANYONE) if one in held), None)
    if key is None:
        return Policy(tenant=tenant), f"{tenant}: it has no policy yet"
    policy = Policy.decode(held[key])
    trial = "; dry_run: nothing is refused or folded by it" if policy.dry_run else ""
    if key == ANYONE:
        why = f"{tenant}: begins as the policy of {ANYONE}, whose changes it will not follow any more{trial}"
        return policy.model_copy(update={"tenant": tenant}), why
    return policy, f"{tenant}: its policy in force, and what holds the above{trial}"


def merged(policy: Policy, wanted: Iterable[tuple[str, Metric]]) -> Policy:
    """Return a policy with limits for metrics beside its own: an entry for each name, where its first match stands."""
    before: dict[int, list[Metric]] = defaultdict(list)
    own = dict(enumerate(policy.metrics))
    for name, one in wanted:
        found = policy.metric(name)
        place = len(policy.metrics) if found is ANY_METRIC else policy.metrics.index(found)
        entry = one if found is ANY_METRIC else _both(found, one)
        if found.name == entry.name and found is not ANY_METRIC:
            own[place] = entry
        else:
            before[place].append(entry)
    metrics: list[Metric] = []
    for place in range(len(policy.metrics) + 1):
        metrics += before[place]
        metrics += [own[place]] if place in own else []
    return Policy.model_validate({**policy.model_dump(exclude_defaults=True), "metrics": metrics})


def _both(held: Metric, wanted: Metric) -> Metric:
    """Return the stricter limits of both; what is held by limits already goes on as it does, refused or folded."""
    limits = dict(held.per_label_value_limits)
    for label, most in wanted.per_label_value_limits.items():
        limits[label] = min(most, limits.get(label, most))
    series = [one.max_series for one in (held, wanted) if one.max_series is not None]
    limited = bool(held.per_label_value_limits) or held.max_series is not None
    return Metric(
        name=wanted.name,
        allowed_labels=held.allowed_labels,
        max_series=min(series, default=None),
        per_label_value_limits=limits,
        action=held.action if limited else wanted.action,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(prog="tidegauge cardinality", description="Metrics that make new series.")
    parser.add_argument("--tenant", default="", help="only this tenant")
    parser.add_argument("--hours", type=hours, default=24, help="how far back; default 24")
    parser.add_argument("--limit", type=whole(1, 100_000), default=10, help="how many metrics; default 10")
    parser.add_argument("--policy", action="store_true", help="print a policy file that would hold them")
    args = parser.parse_args(argv)
    try:
        with closing(connect(QuerySettings(), attempts=3)) as clickhouse:
            rows = found(clickhouse, args.tenant, args.hours, args.limit)
    except (ClickhouseError, Unavailable) as error:
        print(error, file=sys.stderr)
        return 1
    none = f"no metric made 100 new series in an hour within {args.hours} h"
    if args.policy:
        return _suggest(rows, none)
    for row in rows:
        print(text(row))
    if not rows:
        print(none)
    return 0


def _suggest(rows: Sequence[Mapping[str, Any]], none: str) -> int:
    bootstrap = PolicySettings().kafka
    try:
        held = stored(bootstrap, POLICIES)
    except (KafkaError, ValueError) as error:  # the latter: an address that is none
        print(f"TG-kafka: {bootstrap} (TIDEGAUGE_KAFKA): {error}", file=sys.stderr)
        return 1
    try:
        print("" if rows else f"# {none}\n", document(rows, held), sep="", end="")
    except PolicyFault as fault:
        print(fault, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
