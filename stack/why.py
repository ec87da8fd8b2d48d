"""`tidegauge why EVENT [--tenant T]`: an event's decision replayed from what was known then, sample by sample."""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import orjson

from promql.columns import Source
from promql.errors import PromqlError
from promql.series import shown as series_text
from query.errors import QueryError
from query.reach import opened
from query.settings import QuerySettings
from query.view import View
from sinks.refusal import ClickhouseError, Unavailable
from udfs.alert.chain import Linked, relink
from udfs.alert.expression import check_expression
from udfs.alert.lifecycle import LateSample
from udfs.alert.rule import Rule, RuleFault
from udfs.alert.why import MAX_TICKS, Explanation, Sample, delay_of, explain, shown
from udfs.duration import show_duration

MAX_SAMPLES = 40

_EVENT = """
SELECT tenant, rule_id, revision, alert, state, labels, value, key, concerns, late, late_more,
    toUnixTimestamp64Milli(active_at) AS active_at, toUnixTimestamp64Milli(evaluated_at) AS evaluated_at,
    toUnixTimestamp64Milli(emitted_at) AS emitted_at, toUnixTimestamp64Milli(starts_at) AS starts_at,
    toUnixTimestamp64Milli(ends_at) AS ends_at
FROM alert_events FINAL
WHERE tenant = {tenant:String} AND """
_BY_KEY = _EVENT + "key = {key:String}"
# What is said of the same alert afterwards.
_ABOUT = (
    _EVENT
    + """rule_id = {rule:String} AND state IN ('missed', 'retracted')
  AND mapKeys(labels) = {names:Array(String)} AND mapValues(labels) = {texts:Array(String)}"""
)
_REVISIONS = """
SELECT rule_id, version, gone, body
FROM alert_rule_revisions FINAL
WHERE tenant = {tenant:String} AND startsWith(rule_id, {group:String})
ORDER BY version"""


class WhyFault(Exception):
    """There is no answer: a stable id and the reason."""


class Rows(Protocol):
    """What answers SQL."""

    def query(self, sql: str, params: Mapping[str, Any]) -> Any:
        """Return an Arrow table."""
        ...


def find(clickhouse: Rows, tenant: str, key: str) -> tuple[dict[str, Any], list[LateSample]]:
    """Return an event and the late samples that events about the same alert name; raises WhyFault."""
    found = clickhouse.query(_BY_KEY, {"tenant": tenant, "key": key}).to_pylist()
    if not found:
        raise WhyFault(f"TG-why-event: tenant {tenant!r} has no event {key!r} (any more): see table alert_events")
    event = _event(found[0])
    pairs = sorted(event["labels"].items())
    about = clickhouse.query(
        _ABOUT,
        {
            "tenant": tenant,
            "rule": event["rule_id"],
            "names": [name for name, _ in pairs],
            "texts": [text for _, text in pairs],
        },
    ).to_pylist()
    return event, [one for row in [event, *map(_event, about)] for one in _named(row)]


def _event(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "labels": dict(row["labels"])}


def _named(row: Mapping[str, Any]) -> Iterator[LateSample]:
    for one in orjson.loads(row["late"]):
        value = float("nan") if one["value"] is None else one["value"]
        yield LateSample(tuple(sorted(one["labels"].items())), one["timestamp"], value, one["arrived_at"])


def revision(clickhouse: Rows, event: Mapping[str, Any]) -> tuple[Rule, Linked, int]:
    """Return the rule as it decided, linked with its group as that was then, and since when it was so, ms.

    Raises WhyFault.
    """
    group = event["rule_id"].partition("/")[0] + "/"
    rows = clickhouse.query(_REVISIONS, {"tenant": event["tenant"], "group": group}).to_pylist()
    if event["alert"] in ("RuleFailing", "RulePaused"):
        raise WhyFault(f"TG-why-trouble: {event['alert']} is about the rule itself; its annotation says why")
    held: dict[str, Rule] = {}
    decided: Rule | None = None
    since = 0
    for row in rows:
        try:
            rule = None if row["gone"] else Rule.decode(row["body"].encode())
        except RuleFault:
            continue  # was never in force
        if rule and rule.rule_id == event["rule_id"] and rule.revision == event["revision"]:
            decided = rule
        if row["version"] <= event["emitted_at"]:
            before = held.pop(row["rule_id"], None)
            if rule:
                if rule is decided and (before is None or before.revision != rule.revision):
                    since = row["version"]
                held[rule.rule_id] = rule
    if decided is None:
        reason = f"revision {event['revision']} of rule {event['rule_id']!r} is not in table alert_rule_revisions"
        raise WhyFault(f"TG-why-revision: {reason}")
    held[decided.rule_id] = decided
    same = [(one, check_expression(one.expr)) for one in held.values() if (one.file, one.group) == _group(decided)]
    return decided, relink(same)[decided.key], since


def _group(rule: Rule) -> tuple[str, str]:
    return rule.file, rule.group


def lines(event: Mapping[str, Any], rule: Rule, found: Explanation) -> list[str]:
    """Return what a person reads; raises WhyFault if there is nothing left to read."""
    gone = not found.read and not found.late and all(row.value is None for row in found.rows)
    if gone and check_expression(rule.expr).selectors and event["state"] not in ("inactive", "resolved"):
        raise WhyFault("TG-why-samples: no sample of that time is left (TIDEGAUGE_RETENTION), nothing can be replayed")
    waits = f", for {show_duration(rule.for_ms)}" if rule.for_ms else ""
    keeps = f", keep_firing_for {show_duration(rule.keep_firing_for_ms)}" if rule.keep_firing_for_ms else ""
    about = f"  about {event['concerns']}" if event["concerns"] else ""
    own = found.delay_ms == delay_of(event)
    by = "as at this event" if own else "less than at this event: late samples missed their ticks"
    told = [
        f"event    {event['key']}  {event['state']}  {series_text(event['labels'])}  {shown(event['value'])}{about}",
        f"rule     {rule.rule_id}  revision {rule.revision}  every {show_duration(rule.interval_ms)}{waits}{keeps}",
        f"expr     {' '.join(rule.expr.split())}",
        f"known    what had arrived {found.delay_ms / 1000:g} s after each tick, {by}",
        "",
        f"{'tick':<24}  {'value':>12}  {'threshold':<12}  {'then':<9}  today",
    ]
    if found.left:
        told.append(f"(the {found.left} ticks before are left out: at most {MAX_TICKS} are replayed)")
    if found.since:
        told.append(f"(active since {at(event['active_at'])}, under another revision up to {at(found.since)})")
    for row in found.rows:
        state, today = row.then.instance.state, row.now.instance.state
        mark = "  <- the decision" if row.tick == found.decided_at else ""
        failed = f"  no answer: {row.failed}" if row.failed else ""
        told.append(
            f"{at(row.tick):<24}  {shown(row.value):>12}  {row.threshold:<12}  {state:<9}  {today}{mark}{failed}"
        )
    told += ["", f"read at {at(found.decided_at)}:", *_samples(found.read)]
    told += ["", "came too late for the tick that should have seen it:", *_samples(found.late)]
    if event.get("late_more"):
        told.append(f"  the event speaks of {event['late_more']} more")
    word = "give the same decision" if found.same else "give another decision"
    return [*told, "", f"today's data {word}"]


def _samples(samples: Sequence[Sample]) -> list[str]:
    told = [
        f"  {series_text(dict(one.labels))}  {at(one.timestamp)}  {shown(one.value)}"
        + (f"  arrived {at(one.arrived_at)}" if one.arrived_at else "")
        for one in samples[-MAX_SAMPLES:]
    ]
    more = len(samples) - len(told)
    return ([f"  ({more} before them)"] if more else []) + (told or ["  nothing"])


def at(milliseconds: int) -> str:
    """Return a time as people read it."""
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}{f'.{milliseconds % 1000:03d}' if milliseconds % 1000 else ''}Z"


def why(clickhouse: Rows, source: Callable[[View], Source], tenant: str, key: str) -> list[str]:
    """Return the lines about one event; raises WhyFault."""
    event, named = find(clickhouse, tenant, key)
    rule, expression, since = revision(clickhouse, event)
    today = source(View(late_data=True))
    found = explain(event, rule, expression, lambda as_of: source(View(as_of)), today, named, since)
    return lines(event, rule, found)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="tidegauge why", description=__doc__)
    parser.add_argument("event", metavar="EVENT", help="an event's key: of alert.events, or column key of v_alerts")
    parser.add_argument("--tenant", default="default", help="owner of the rule (default: default)")
    args = parser.parse_args(argv)
    with opened(QuerySettings()) as (clickhouse, store):
        try:
            told = why(clickhouse, lambda view: store.source(args.tenant, MAX_TICKS, view), args.tenant, args.event)
        except (WhyFault, QueryError, PromqlError, RuleFault, ClickhouseError, Unavailable) as error:
            print(error, file=sys.stderr)
            return 1
    print("\n".join(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
