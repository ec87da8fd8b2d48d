"""`tidegauge rules backtest FILE [--against FILE2] --from T --to T [--tenant T]`: rules over ClickHouse's history."""

import argparse
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from load.rulestest import read_groups
from promql.columns import Source
from promql.errors import PromqlError
from promql.series import quoted
from query.clickhouse import ClickhouseStore
from query.errors import QueryError
from query.reach import opened
from query.settings import QuerySettings
from query.sql import Params
from stack.progress import Bar
from udfs.alert.backtest import Episode, Report, Unseen, backtest, difference
from udfs.alert.group import MAX_TICKS, Setting
from udfs.alert.rule import RuleFault
from udfs.alert.testrun import braces
from udfs.duration import parse_duration, show_duration

_RELATIVE = re.compile(r"now(?:-(\w+))?\Z")
MAX_FAILURES = 10
MAX_READERS = 3
END_MS = 1000 << 32
"""In 2106 ClickHouse's DateTime ends."""

# It reads ts of all samples, 30 M in 0.2 s; by the first day of the tenant (_partition_id) it took 1 s.
_OLDEST = """
SELECT count() AS held, toUnixTimestamp64Milli(min(ts)) AS oldest
FROM samples
WHERE tenant = {tenant:String}"""
_SERIES = "SELECT count() AS held FROM series WHERE tenant = {tenant:String}"


class NothingThere(Exception):
    """There is nothing to evaluate: a stable id and the reason."""


def oldest(store: ClickhouseStore, tenant: str) -> int:
    """Return the time of the oldest sample that raw holds of a tenant, ms; raises NothingThere, QueryError."""
    params: Params = {"tenant": tenant}
    (raw,) = store.rows((_OLDEST, params)).to_pylist()
    if raw["held"]:
        return int(raw["oldest"])
    (series,) = store.rows((_SERIES, params)).to_pylist()
    if series["held"]:
        raise NothingThere(f"TG-backtest-raw: raw holds no sample of tenant {tenant!r} (any more)")
    raise NothingThere(
        f"TG-backtest-tenant: nothing is known of tenant {tenant!r}; --tenant names whose samples to read"
    )


def moment(text: str, now_ms: int) -> int:
    """Return ms since 1970 UTC of RFC 3339, of seconds since 1970, or of now and now-6h; raises ValueError."""
    found = _milliseconds(text, now_ms)
    # Neither inf nor NaN is, nor are ms where seconds are due.
    if not 0 <= found < END_MS:
        raise ValueError(f"{text!r} is not from 1970 to 2106")
    return round(found)


def _milliseconds(text: str, now_ms: int) -> float:
    relative = _RELATIVE.match(text)
    if relative:
        return now_ms - parse_duration(relative[1] or "0") * 1000
    try:
        return float(text) * 1000
    except ValueError:
        found = datetime.fromisoformat(text)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000


def lines(report: Report, start_ms: int) -> list[str]:
    """Return what fired, in the order of time, and a line for each rule."""
    told: list[tuple[int, str]] = []
    for one in report.fired:
        before = "" if one.fired_at >= start_ms else "  (before --from)"
        told.append((one.fired_at, f"firing    {_who(one)}  pending since {_at(one.active_at)}{before}"))
        if one.ended_at:
            told.append(
                (one.ended_at, f"resolved  {_who(one)}  fired for {show_duration(one.ended_at - one.fired_at)}")
            )
    found = [f"{_at(at)}  {text}" for at, text in sorted(told)]
    mine: dict[str, list[Episode]] = {rule: [] for rule in sorted(report.alerts)}
    for one in report.episodes:
        mine[one.rule].append(one)
    failed = Counter(one.rule.key for one in report.failures)
    return found + [f"{rule.partition('/')[2]}: {_sum(held, failed[rule])}" for rule, held in mine.items()]


def _sum(mine: Sequence[Episode], failed: int) -> str:
    """Return what became of an alerting rule in all."""
    # Else a rule that could not be answered looked like one that would not have fired.
    unknown = f"; {failed} evaluations had no answer" if failed else ""
    if not mine:
        return f"fired 0 times, pending 0 times{unknown}"
    fired = [one for one in mine if one.fired_at]
    still = sum(not one.ended_at for one in fired)
    pending = sum(not one.fired_at and not one.ended_at for one in mine)
    return (
        f"fired {len(fired)} times for {len({one.labels for one in fired})} label sets"
        f"{f', {still} still firing' if still else ''}; pending in vain {sum(_in_vain(one) for one in mine)} times"
        f"{f', {pending} still pending' if pending else ''}{unknown}"
    )


def differences(before: Report, after: Report) -> list[str]:
    """Return what fires differently, one a line, and the sum."""
    found = difference(before, after)
    told = [(one.fired_at, f"- {_span(one)}") for one in found.gone] + [
        (one.fired_at, f"+ {_span(one)}") for one in found.new
    ]
    told += [(one.fired_at, f"~ {_span(one)}  becomes  {_times(other)}") for one, other in found.moved]
    total = f"{len(found.new)} firings more, {len(found.gone)} fewer, {len(found.moved)} at other times, "
    return [text for _, text in sorted(told)] + [f"{total}{found.same} the same"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="tidegauge rules backtest", description=__doc__)
    parser.add_argument("file", type=Path, metavar="FILE", help="a rule file")
    parser.add_argument("--against", type=Path, metavar="FILE2", help="what is in force: show what FILE would change")
    what = "RFC 3339, seconds since 1970, now, or such as now-6h"
    parser.add_argument("--from", dest="start", required=True, metavar="T", help=what)
    parser.add_argument("--to", dest="end", default="now", metavar="T", help=f"{what}; default now")
    parser.add_argument("--tenant", default="default", help="owner of the samples (default: default)")
    args = parser.parse_args(argv)
    now_ms = time.time_ns() // 1_000_000
    try:
        start, end = moment(args.start, now_ms), moment(args.end, now_ms)
    except ValueError as error:
        parser.error(f"--from, --to: {error}; expected {what}")
    if start > end:
        parser.error("--from is after --to")
    with opened(QuerySettings()) as (_, store):
        try:
            first = oldest(store, args.tenant)
        except (NothingThere, QueryError) as error:
            print(error.message if isinstance(error, QueryError) else error, file=sys.stderr)
            return 1
        source = store.source(args.tenant, MAX_TICKS)
        return show(args.file, args.against, source, (start, end), args.tenant, first)


def show(
    file: Path, against: Path | None, source: Source, times: tuple[int, int], tenant: str, oldest_ms: int = 0
) -> int:
    """Print the backtest of one file, or what it changes against another; return the exit code.

    oldest_ms: the source holds nothing before.
    """
    start, end = times
    if start < oldest_ms:
        known = f"TG-backtest-raw: the oldest sample that raw holds of tenant {tenant!r} is of {_at(oldest_ms)}"
        if end < oldest_ms:
            print(f"{known}, after --to, {_at(end)}: there is nothing to evaluate", file=sys.stderr)
            return 1
        print(f"{known}: evaluation begins there, not at --from, {_at(start)}", file=sys.stderr)
        times = oldest_ms, end
    reports = [_run(path, source, times, tenant, oldest_ms) for path in (file, against) if path is not None]
    if any(report is None for report in reports):
        return 1
    made = [report for report in reports if report is not None]
    for line in lines(made[0], times[0]) if against is None else differences(made[1], made[0]):
        print(line)
    return 0


def _run(path: Path, source: Source, times: tuple[int, int], tenant: str, oldest_ms: int) -> Report | None:
    groups, faults = read_groups(path, tenant)
    for fault in faults:
        print(fault, file=sys.stderr)
    if faults:
        return None
    try:
        with Bar(f"backtest of {path.name}") as bar:
            report = backtest(groups, source, *times, Setting(), bar.told, oldest_ms)
    except (QueryError, PromqlError, RuleFault) as error:
        print(f"{path}: {error}", file=sys.stderr)
        return None
    for failure in report.failures[:MAX_FAILURES]:
        print(f"{path}: {failure.rule.rule_id} at {_at(failure.at)}: {failure.reason}", file=sys.stderr)
    more = len(report.failures) - MAX_FAILURES
    if more > 0:
        print(f"{path}: {more} evaluations more had no answer", file=sys.stderr)
    for unseen in report.unseen:
        print(f"{path}: {_absence(unseen)}", file=sys.stderr)
    took = f"{report.evaluations:,} evaluations in {bar.seconds:.1f} s"
    print(f"{path}: {_at(times[0])} to {_at(times[1])}, {took}", file=sys.stderr)
    return report


def _absence(unseen: Unseen) -> str:
    one, readers = unseen.selector, unseen.rules
    matchers = ", ".join(f"{name}{op}{quoted(value)}" for name, op, value in one.matchers)
    # A time that @ fixes may be any.
    start, end = (_at(min(max(0, at), END_MS)) for at in (one.start_ms, one.end_ms))
    more = f" and {len(readers) - MAX_READERS} rules more" if len(readers) > MAX_READERS else ""
    who = f"read by {', '.join(readers[:MAX_READERS])}{more}"
    return f"no series of {one.metric}{f'{{{matchers}}}' if matchers else ''} between {start} and {end}, {who}"


def _in_vain(one: Episode) -> bool:
    return not one.fired_at and one.ended_at > 0


def _at(milliseconds: int) -> str:
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}{f'.{milliseconds % 1000:03d}' if milliseconds % 1000 else ''}Z"


def _who(one: Episode) -> str:
    labels = dict(one.labels)
    name = labels.pop("alertname", "")
    return f"{name}{braces(labels)} {one.value:g}"


def _times(one: Episode) -> str:
    return f"{_at(one.fired_at)} to {_at(one.ended_at) if one.ended_at else 'the end'}"


def _span(one: Episode) -> str:
    return f"{_who(one)}  {_times(one)}"


if __name__ == "__main__":
    sys.exit(main())
