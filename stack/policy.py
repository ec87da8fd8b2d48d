"""`tidegauge policy check FILE… | apply FILE | list | remove TENANT… | would`: what tenants may send (docs/gate.md)."""

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from kafka.errors import KafkaError
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from query.reach import connect
from query.settings import QuerySettings
from schemas.policy import MAX_BYTES, Policy, PolicyFault, parse
from schemas.text import text_of
from schemas.topics import POLICIES
from sinks.bounded import Bounded
from sinks.control import publish, stored
from sinks.refusal import ClickhouseError, Unavailable
from stack.whole import hours
from udfs.gate.throttle import BURST_S

_WOULD = """
SELECT tenant, id, samples, received
FROM (
    SELECT tenant, sumMap(would) AS cost, sum(received) AS received
    FROM v_ledger
    WHERE time >= now('UTC') - toIntervalHour({hours:UInt32})
        AND ({tenant:String} = '' OR tenant = {tenant:String})
    GROUP BY tenant
)
ARRAY JOIN mapKeys(cost) AS id, mapValues(cost) AS samples
ORDER BY samples DESC, tenant, id
"""


class PolicySettings(Bounded):
    """Every field is the environment variable TIDEGAUGE_<FIELD>."""

    model_config = SettingsConfigDict(env_prefix="TIDEGAUGE_", extra="forbid", frozen=True)

    kafka: str = Field("127.0.0.1:9092", description="Bootstrap servers, host:port[,host:port].")


def changes(before: Mapping[str, bytes], policies: Iterable[Policy]) -> dict[str, bytes]:
    """Return the records that bring policies into force; those of other tenants stay."""
    wanted = {policy.tenant: policy.encode() for policy in policies}
    return {tenant: value for tenant, value in wanted.items() if before.get(tenant) != value}


def read(path: Path) -> list[Policy]:
    """Return the policies of a file; raises PolicyFault."""
    try:
        text = text_of(path, MAX_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyFault(f"TG-policy-file: {path}: {error}") from None
    return parse(text, str(path))


def check(paths: Iterable[Path]) -> int:
    """Print what each file holds or what is wrong with it; return 1 if anything is."""
    code = 0
    for path in paths:
        try:
            print(f"{path}: {len(read(path))} policies, no faults")
        except PolicyFault as fault:
            print(fault, file=sys.stderr)
            code = 1
    return code


def apply(path: Path, bootstrap: str) -> int:
    """Bring one file into force, whole or not at all."""
    try:
        policies = read(path)
    except PolicyFault as fault:
        print(f"{fault}\n{path}: nothing was applied", file=sys.stderr)
        return 1
    records = changes(stored(bootstrap, POLICIES), policies)
    publish(bootstrap, POLICIES, records)
    print(f"{path}: {len(records)} policies written, {len(policies) - len(records)} unchanged")
    return 0


def effective(policy: Policy) -> dict[str, Any]:
    """Return what holds by a policy, defaults included.

    What it leaves to the settings of the gate's job is `setting`: that job may run anywhere, with any.
    """
    held = policy.model_dump(exclude_none=True)
    held["metrics"] = [one.model_dump(exclude_defaults=True) for one in policy.metrics]
    for name in ("max_series", "max_labels"):
        held.setdefault(name, "setting")
    for name in ("future_grace_s", "tolerance_s"):
        held[name] = f"{held[name]}, or the setting if less" if name in held else "setting"
    for whose in ("", "source_"):
        if (rate := held.get(f"{whose}samples_per_second")) is not None:
            held.setdefault(f"{whose}samples_burst", rate * BURST_S)
    return held


def table(held: Mapping[str, bytes]) -> list[str]:
    """Return what control.policies holds, one a line."""
    lines = []
    for tenant, value in sorted(held.items()):
        try:
            policy = Policy.decode(value)
            line = json.dumps(effective(policy), sort_keys=True, separators=(",", ":"))
            lines.append(f"{tenant}  {'dry run  ' if policy.dry_run else ''}{line}")
        except PolicyFault as fault:
            lines.append(f"{tenant}  not in force: {fault}")
    return lines


def show(bootstrap: str) -> int:
    """Print the policies in force, one a line."""
    for line in table(stored(bootstrap, POLICIES)):
        print(line)
    return 0


def remove(tenants: Sequence[str], bootstrap: str) -> int:
    """Take policies out of force; return 1 if there is none of a tenant."""
    before = stored(bootstrap, POLICIES)
    publish(bootstrap, POLICIES, {tenant: None for tenant in tenants if tenant in before})
    for tenant in tenants:
        print(f"{tenant}: removed" if tenant in before else f"TG-policy-tenant: {tenant!r} has no policy")
    return 0 if all(tenant in before for tenant in tenants) else 1


def would(tenant: str, hours: int) -> int:
    """Print what policies on trial (dry_run) would have cost; return 1 if ClickHouse does not answer."""
    try:
        with closing(connect(QuerySettings(), attempts=3)) as clickhouse:
            rows = clickhouse.query(_WOULD, {"tenant": tenant, "hours": hours}).to_pylist()
    except (ClickhouseError, Unavailable) as error:
        print(error, file=sys.stderr)
        return 1
    for row in rows:
        print(f"{row['tenant']}  {row['id']}: {row['samples']} of {row['received']} samples")
    if not rows:
        print(f"no policy on trial would have cost a sample within {hours} h")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code."""
    parser = argparse.ArgumentParser(prog="tidegauge policy", description="What tenants may send.")
    commands = parser.add_subparsers(dest="command", required=True)
    checking = commands.add_parser("check", help="say what is wrong with policy files")
    checking.add_argument("files", nargs="+", type=Path, metavar="FILE")
    commands.add_parser("apply", help="bring a file into force").add_argument("file", type=Path, metavar="FILE")
    commands.add_parser("list", help="print the policies in force")
    removing = commands.add_parser("remove", help="take the policies of tenants out of force")
    removing.add_argument("tenants", nargs="+", metavar="TENANT")
    trial = commands.add_parser("would", help="print what policies with dry_run would have refused or folded")
    trial.add_argument("--tenant", default="", help="only this tenant")
    trial.add_argument("--hours", type=hours, default=24, help="how far back; default 24")
    args = parser.parse_args(argv)
    if args.command == "check":
        return check(args.files)
    if args.command == "would":
        return would(args.tenant, args.hours)
    bootstrap = PolicySettings().kafka
    try:
        if args.command == "apply":
            return apply(args.file, bootstrap)
        return show(bootstrap) if args.command == "list" else remove(args.tenants, bootstrap)
    except (KafkaError, ValueError) as error:  # the latter: an address that is none
        print(f"TG-kafka: {bootstrap} (TIDEGAUGE_KAFKA): {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
