"""`tidegauge lag [--json] [--groups PREFIX]`: how far each job is in its topics, and what it can no longer read."""

import argparse
import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import groupby

from kafka.errors import KafkaError

from jobs.settings import JobSettings
from sinks.groups import Groups, Place, waiting_since


@dataclass(frozen=True, slots=True)
class Lag:
    """A group in one topic: records that wait, records that Kafka deleted unread, ms of the first that waits."""

    group: str
    topic: str
    behind: int
    lost: int
    since: int | None


def lags(places: Iterable[Place], since: Mapping[Place, int]) -> list[Lag]:
    """Return the places of each group and topic as one; since: timestamps of first waiting records, ms."""
    found = []
    for (group, topic), partitions in groupby(places, key=lambda one: (one.group, one.topic)):
        ours = list(partitions)
        waiting = [since[one] for one in ours if one in since]
        behind, lost = sum(one.behind for one in ours), sum(one.lost for one in ours)
        found.append(Lag(group, topic, behind, lost, min(waiting, default=None)))
    return found


def text(found: Sequence[Lag], now_ms: int) -> str:
    """Return the table for people."""
    lines = [f"{'group':<20}{'topic':<22}{'behind':>12}{'since':>12}{'lost':>10}"]
    for one in found:
        since = "" if one.since is None else f"{max(0, now_ms - one.since) / 1000:.0f} s"
        lines.append(f"{one.group:<20}{one.topic:<22}{one.behind:>12}{since:>12}{one.lost:>10}")
    return "\n".join([*lines, *losses(found)])


def losses(found: Iterable[Lag]) -> list[str]:
    """Return a line for each group and topic in which records are lost."""
    return [
        f"TG-records-lost {one.group}: Kafka has deleted {one.lost} records of {one.topic} that it had not read; "
        "retention.ms of the topic says how long they stay"
        for one in found
        if one.lost
    ]


def report(found: Sequence[Lag], prefix: str, *, as_json: bool) -> int:
    """Print what was found of the groups of that prefix; return the command's exit code."""
    if as_json:
        print(json.dumps([asdict(one) for one in found], indent=1))
    elif found:
        print(text(found, time.time_ns() // 10**6))
    if not found:
        print(
            f"TG-groups no group is known whose name begins with {prefix!r}; a job is from its first checkpoint on",
            file=sys.stderr,
        )
        return 1
    return 2 if any(one.lost for one in found) else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0, 1 if Kafka does not answer or knows no such group, 2 if records are lost."""
    parser = argparse.ArgumentParser(
        prog="tidegauge lag",
        description="Records that wait for each job, as of its last checkpoint, how old the first of them is, and how "
        "many Kafka deleted before the job came to them. TIDEGAUGE_KAFKA names the broker.",
    )
    settings = JobSettings()
    parser.add_argument("--groups", default=f"{settings.job_prefix}-", help="begin of the consumer groups' names")
    parser.add_argument("--json", action="store_true", help="as JSON")
    args = parser.parse_args(argv)
    try:
        with closing(Groups(settings.kafka, args.groups)) as groups:
            places = groups.places()
        found = lags(places, waiting_since(settings.kafka, places))
    except (KafkaError, ValueError) as error:  # the latter: an address that is none
        print(f"TG-kafka: {settings.kafka} (TIDEGAUGE_KAFKA): {error}", file=sys.stderr)
        return 1
    return report(found, args.groups, as_json=args.json)
