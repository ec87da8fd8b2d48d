"""`tidegauge rules test FILE…`: promtool's unit-test files against the rule files that they name."""

import difflib
import glob
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from schemas.text import text_of
from udfs.alert.document import MAX_BYTES
from udfs.alert.rule import DEFAULT_INTERVAL_S
from udfs.alert.rulefile import Group, parse_file
from udfs.alert.testfile import parse_tests
from udfs.alert.testrun import Mismatch, run_test


def run_files(paths: Iterable[Path], only: Sequence[str] = (), diff: bool = False) -> int:
    """Run the tests of some files and print how they went, as promtool does; return 1 if one fails.

    only: patterns of which a test's name must match one. diff: show what differs instead of what was and what is.
    """
    code = 0
    for path in paths:
        print(f"Unit Testing:  {path}")
        problems = _problems(path, only, diff)
        if problems:
            code = 1
            print("  FAILED:", file=sys.stderr)
            for problem in problems:
                print(f"{problem}\n", file=sys.stderr)
        else:
            print("  SUCCESS\n")
    return code


def _problems(path: Path, only: Sequence[str], diff: bool) -> list[str]:
    try:
        file, faults = parse_tests(text_of(path, MAX_BYTES))
        wanted = re.compile("|".join(only))
    except (OSError, UnicodeDecodeError, re.error) as error:
        return [f"    TG-rule-file: {error}"]
    if faults:
        return [f"    {path}: {fault}" for fault in faults]
    if only:
        file = replace(file, tests=tuple(one for one in file.tests if wanted.search(one.name)))
    problems: list[str] = []
    for one in file.tests:
        groups, refused = _rules(path, file.rule_files, one.interval_ms / 1000)
        if refused:
            return refused
        problems += [_text(bad, diff) for bad in run_test(one, file, groups)]
    return problems


def _rules(path: Path, patterns: Iterable[str], interval_s: float) -> tuple[list[Group], list[str]]:
    """Return the groups of the rule files that the patterns name, relative to the test file."""
    groups: list[Group] = []
    faults: list[str] = []
    for pattern in patterns:
        found = sorted(glob.glob(str(path.parent / pattern)))
        if not found:
            print(f"  WARNING: no file match pattern {path.parent / pattern}", file=sys.stderr)
        for name in found:
            held, wrong = read_groups(Path(name), "test", interval_s)
            groups += held
            faults += [f"    {fault}" for fault in wrong]
    return groups, faults


def read_groups(path: Path, tenant: str, interval_s: float = DEFAULT_INTERVAL_S) -> tuple[tuple[Group, ...], list[str]]:
    """Return the groups of a rule file and what is wrong with it, whatever a stream could take of it."""
    try:
        read = parse_file(text_of(path, MAX_BYTES), tenant, path.name, interval_s=interval_s)
    except (OSError, UnicodeDecodeError) as error:
        return (), [f"{path}: TG-rule-file: {error}"]
    return read.groups, [f"{path}: {fault}" for fault in read.faults]


def _text(bad: Mismatch, diff: bool) -> str:
    lines = [f"    name: {bad.test},", f"    {bad.head}"]
    if bad.expected or bad.got:
        lines[-1] += ","
        if diff:
            lines.append("        diff:")
            told = (line for line in difflib.ndiff(bad.expected, bad.got) if not line.startswith("?"))
            lines += [f"            {line}" for line in told]
        else:
            for word, side in (("exp", bad.expected), ("got", bad.got)):
                lines.append(f"        {word}: {'nil' if not side else ''}".rstrip())
                lines += [f"            {line}" for line in side]
    return "\n".join(lines)
