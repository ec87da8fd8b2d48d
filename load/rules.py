"""`tidegauge rules check | apply | list | test`: rule files to control.rules, what is in force, and unit tests.

control.rules is compacted: the newest record of a key is the rule, a null value deletes it.
"""

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import orjson
from kafka.errors import KafkaError
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from load.load import check_tenant
from load.rulestest import run_files
from schemas.text import text_of
from schemas.topics import RULES
from sinks.bounded import Bounded
from sinks.control import publish, stored
from udfs.alert.book import refuse
from udfs.alert.document import MAX_BYTES
from udfs.alert.rule import Rule, RuleFault
from udfs.alert.rulefile import parse_file
from udfs.duration import show_duration

OWN = Path(__file__).resolve().parent.parent / "flink-conf" / "rules.yaml"
"""Tidegauge's own rules, which `make run` applies."""

OWN_NAME = "flink-conf/rules.yaml"
"""What they are held under. No other file can have this name: a file's own name has no slash."""


class RulesSettings(Bounded):
    """Every field is the environment variable TIDEGAUGE_<FIELD>."""

    model_config = SettingsConfigDict(env_prefix="TIDEGAUGE_", extra="forbid", frozen=True)

    kafka: str = Field("127.0.0.1:9092", description="Bootstrap servers, host:port[,host:port].")


def name_of(path: Path) -> str:
    """Return the name under which the rules of a file are held: they stay the same ones if it moves."""
    return OWN_NAME if path.resolve() == OWN else path.name


def changes(
    before: Mapping[str, bytes], rules: Iterable[Rule], tenant: str, file: str, replace: bool = False
) -> dict[str, bytes | None]:
    """Return the records that make control.rules hold exactly these rules of one tenant and file.

    before: the newest value of each key. What other files of the tenant brought is not touched. Raises RuleFault for a
    rule whose group and name another file has, for one that the job would refuse beside all others, and, unless
    replace says so, for rules that share none with those held under the name of their file: another file of that name.
    """
    # Before it had a name of its own, OWN was held under its file's name, as a user's file of that name is.
    free = ("", file, OWN.name) if file == OWN_NAME else ("", file)
    wanted: dict[str, bytes] = {}
    for rule in rules:
        other = _owner(before.get(rule.key, b""))
        if other is not None and other[1] not in free:
            reason = (
                f"{other[1]} has a rule of this group and name already: rename the group, or first take it out there"
            )
            raise RuleFault("TG-rule-taken", reason, group=rule.group, rule=rule.name)
        wanted[rule.key] = rule.encode()
    held = [key for key, value in before.items() if _owner(value) == (tenant, file)]
    gone = [key for key in held if key not in wanted]
    if wanted and held and gone == held and file != OWN_NAME and not replace:
        raise RuleFault("TG-rule-replace", _replaced(file, gone))
    refuse(wanted, {key: value for key, value in before.items() if key not in wanted and key not in gone})
    changed: dict[str, bytes | None] = {key: value for key, value in wanted.items() if before.get(key) != value}
    return {**changed, **dict.fromkeys(gone)}


def _replaced(file: str, gone: Sequence[str]) -> str:
    shown = ", ".join(gone[:5]) + (f" and {len(gone) - 5} more" if len(gone) > 5 else "")
    return (
        f"this file has none of the rules that are held of a file named {file}, and would delete them: {shown}. "
        "Give it another name if it is another file; --replace if it is the same one"
    )


def _owner(value: bytes) -> tuple[str, str] | None:
    """Return tenant and file of a record, be its rule one that is refused."""
    try:
        record = orjson.loads(value)
        return str(record["tenant"]), str(record.get("file", ""))
    except (orjson.JSONDecodeError, TypeError, KeyError, AttributeError):
        return None  # not ours to delete; `list` shows it


def check(paths: Iterable[Path], tenant: str) -> int:
    """Print what each file holds or what is wrong with it; return 1 if anything is."""
    code = 0
    for path in paths:
        rules = _read(path, tenant)
        if rules is None:
            code = 1
        else:
            print(f"{path}: {len(rules)} rules, no faults")
    return code


def _read(path: Path, tenant: str) -> list[Rule] | None:
    try:
        text = text_of(path, MAX_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        print(f"{path}: TG-rule-file: {error}", file=sys.stderr)
        return None
    read = parse_file(text, tenant, name_of(path), stream=True)
    for fault in read.faults:
        print(f"{path}: {fault}", file=sys.stderr)
    for warning in read.warnings:
        print(f"{path}: warning: {warning}", file=sys.stderr)
    return None if read.faults else read.rules


def apply(path: Path, tenant: str, bootstrap: str, replace: bool = False) -> int:
    """Bring one file into force, whole or not at all. replace: also in place of all that is held under its name."""
    rules = _read(path, tenant)
    if rules is None:
        print(f"{path}: nothing was applied", file=sys.stderr)
        return 1
    try:
        records = changes(stored(bootstrap, RULES), rules, tenant, name_of(path), replace)
    except RuleFault as fault:
        print(f"{path}: {fault}\n{path}: nothing was applied", file=sys.stderr)
        return 1
    publish(bootstrap, RULES, records)
    deleted = [key for key, value in records.items() if value is None]
    for key in deleted:
        print(f"{path}: deleted {key}, which {name_of(path)} held before")
    written = len(records) - len(deleted)
    print(f"{path}: {written} rules written, {len(rules) - written} unchanged, {len(deleted)} deleted")
    return 0


def show(bootstrap: str, tenant: str | None) -> int:
    """Print the rules in force, of one tenant or of all."""
    print("\n".join(table(stored(bootstrap, RULES), tenant)))
    return 0


_COLUMNS = ("TENANT", "GROUP", "RULE", "KIND", "REVISION", "EVERY", "FOR", "FILE", "EXPR")


def table(held: Mapping[str, bytes], tenant: str | None = None) -> list[str]:
    """Return the rules in force as lines of a table, in the order in which their groups evaluate them.

    What cannot be read is not in force; its line says why.
    """
    rows: list[tuple[str, ...]] = []
    broken: list[str] = []
    found: list[Rule] = []
    for key, value in sorted(held.items()):
        try:
            found.append(Rule.decode(value))
        except RuleFault as fault:
            broken.append(f"{key}  not in force: {fault}")
    for rule in sorted(found, key=lambda one: (one.tenant, one.group, one.position, one.rule_id)):
        if tenant in (None, rule.tenant):
            times = (show_duration(rule.interval_ms), show_duration(rule.for_ms))
            name = rule.rule_id.removeprefix(f"{rule.group}/")
            kind = "alert" if rule.alert else "record"
            expr = " ".join(rule.expr.split())
            rows.append((rule.tenant, rule.group, name, kind, rule.revision, *times, rule.file, expr))
    widths = [max(map(len, column)) for column in zip(_COLUMNS, *rows, strict=True)][:-1]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]])
        for row in (_COLUMNS, *rows)
    ]
    return [*lines, *(line for line in broken if tenant is None or line.startswith(f"{tenant}/"))]


def main(argv: list[str] | None = None) -> int:
    """Run one command; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="tidegauge rules",
        description="Prometheus rules on the stream.",
        epilog="`tidegauge rules backtest --help` tells of one more, for rules over history.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    checking = commands.add_parser("check", help="say what is wrong with rule files")
    checking.add_argument("files", nargs="+", type=Path, metavar="FILE")
    applying = commands.add_parser("apply", help="bring a file into force")
    applying.description = (
        "Rules that a file of this name (without folders) held before and no longer holds are deleted."
    )
    applying.add_argument("file", type=Path, metavar="FILE")
    applying.add_argument("--tenant", default="default", help="owner of the rules (default: default)")
    applying.add_argument(
        "--replace", action="store_true", help="also if no rule stays of those that a file of this name held before"
    )
    listing = commands.add_parser("list", help="print the rules in force")
    listing.add_argument("--tenant", help="of this tenant only")
    testing = commands.add_parser("test", help="run promtool's unit-test files")
    testing.add_argument("files", nargs="+", type=Path, metavar="FILE")
    testing.add_argument("--run", action="append", default=[], metavar="REGEX", help="only tests of matching names")
    testing.add_argument("--diff", action="store_true", help="show the lines that differ")
    args = parser.parse_args(argv)
    if args.command == "check":
        return check(args.files, "default")
    if args.command == "test":
        return run_files(args.files, args.run, args.diff)
    if args.tenant is not None and (fault := check_tenant(args.tenant)):
        print(fault, file=sys.stderr)
        return 2
    bootstrap = RulesSettings().kafka
    try:
        if args.command == "apply":
            return apply(args.file, args.tenant, bootstrap, args.replace)
        return show(bootstrap, args.tenant)
    except (KafkaError, ValueError) as error:  # the latter: an address that is none
        print(f"TG-kafka: {bootstrap} (TIDEGAUGE_KAFKA): {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
