"""`tidegauge retention check [FILE] | apply [FILE] | list`: how long ClickHouse keeps what, by policy and in force."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from schemas.retention import TIERS, Policy, RetentionError, shown
from sinks import retention
from sinks.clickhouse import Clickhouse
from sinks.refusal import ClickhouseError, Unavailable
from sinks.retention import RetentionSettings


def text(policy: Policy) -> str:
    """Return a policy as a table for people, days per class and tier."""
    width = max(map(len, policy.classes))
    lines = [f"{'class':<{width}}  " + " ".join(f"{tier:>7}" for tier in TIERS) + "  tenants"]
    for name, kept in policy.classes.items():
        tenants = sorted(tenant for tenant, own in policy.tenants.items() if own == name)
        who = [*tenants, *(["all others"] if name == policy.default else [])]
        days = " ".join(f"{shown(kept.days(tier)):>7}" for tier in TIERS)
        lines.append(f"{name:<{width}}  {days}  {', '.join(who) or 'none'}")
    others = ("rejections", "ledger", "cardinality", "alert_events")
    lines.append(", ".join(f"{one} {shown(getattr(policy, one))}" for one in others) + " (days, all tenants)")
    return "\n".join(lines)


def apply(clickhouse: Clickhouse, policy: Policy) -> None:
    """Bring the tables to the policy and say what changed."""
    changes = retention.apply(clickhouse, policy)
    for change in changes:
        print(f"{change.table}: {change.before or 'for ever'} -> {change.now}")
    print(f"{clickhouse.database}: " + (f"retention of {len(changes)} tables changed" if changes else "up to date"))


def show(clickhouse: Clickhouse) -> None:
    """Print the TTL that each table has."""
    for table, ttl in retention.current(clickhouse).items():
        print(f"{table}: {ttl or 'for ever'}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code."""
    parser = argparse.ArgumentParser(prog="tidegauge retention", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    checking = commands.add_parser("check", help="say what a policy file holds, or what is wrong with it")
    applying = commands.add_parser("apply", help="bring a policy file into force")
    for one in (checking, applying):
        one.add_argument("file", nargs="?", type=Path, metavar="FILE", help="default: TIDEGAUGE_RETENTION")
    commands.add_parser("list", help="print the TTL of every table, as it is in force")
    args = parser.parse_args(argv)
    settings = RetentionSettings()
    try:
        if args.command == "check":
            print(text(settings.policy(args.file)))
            return 0
        with closing(settings.connect()) as clickhouse:
            if args.command == "list":
                show(clickhouse)
            else:
                apply(clickhouse, settings.policy(args.file))
    except (RetentionError, ClickhouseError, Unavailable) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
