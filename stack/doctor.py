"""tidegauge doctor: what this machine lacks, each with the remedy."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from stack import limits, ports
from stack.choice import choice
from stack.home import JARS, ROOT, Home
from stack.jars import java_command
from stack.state import leftovers, running

DISK_BYTES = 5 << 30
MEMORY_BYTES = 5 << 30
KAFKA_JARS = 46
BUILT_MS = 1_790_000_000_000
"""September 2026: a clock before it is wrong, and the broker would stamp every sample wrongly."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; remedy is empty when it is good."""

    what: str
    good: bool
    found: str
    remedy: str = ""


def java(output: Callable[[], str]) -> Finding:
    """Judge `java -version`; output raises OSError if there is no java."""
    remedy = "apt-get install openjdk-17-jre-headless, and let JAVA_HOME, or PATH if that is not set, name a Java 17"
    try:
        text = output()
    except OSError as error:
        return Finding("java 17", False, f"no {error.filename or 'java'}", remedy)
    except subprocess.TimeoutExpired as error:
        return Finding("java 17", False, f"no answer within {error.timeout:.0f} s", remedy)
    found = re.search(r'version "([^"]+)"', text)
    name = found.group(1) if found else text.strip()[:60] or "nothing"
    return Finding("java 17", name.split(".")[0] == "17", name, "" if name.split(".")[0] == "17" else remedy)


def java_version() -> str:
    """Return what `java -version` prints, of the Java that the stack would take."""
    return subprocess.run([java_command(), "-version"], capture_output=True, text=True, timeout=20, check=False).stderr


def python(info: tuple[int, int]) -> Finding:
    """Judge the Python that runs this."""
    good = info == (3, 11)
    return Finding(
        "python 3.11", good, ".".join(map(str, info)), "" if good else "apt-get install python3.11; make setup"
    )


def jars(folder: Path) -> list[Finding]:
    """Judge the jars that Maven fetches."""
    findings = []
    for what, pattern, wanted in (
        ("kafka jars", "kafka/*.jar", KAFKA_JARS),
        ("flink's kafka connector", "flink/flink-sql-connector-kafka-*.jar", 1),
        ("zstd for flink", "flink/zstd-jni-*.jar", 1),
    ):
        found = list(folder.glob(pattern))
        good = len(found) >= wanted
        findings.append(Finding(what, good, f"{len(found)} of {wanted} in .jars", "" if good else "make setup"))
    return findings


def locked(lock: str) -> dict[str, str]:
    """Return the exact versions of a requirements.lock, by package name."""
    return dict(re.findall(r"^([A-Za-z0-9_.-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", lock, re.MULTILINE))


def versions(lock: Mapping[str, str], installed: Callable[[str], str]) -> Finding:
    """Judge the installed packages against the lock file; installed raises PackageNotFoundError."""
    wrong = []
    for name, wanted in lock.items():
        try:
            found = installed(name)
        except PackageNotFoundError:
            found = "missing"
        if found != wanted:
            wrong.append(f"{name} {found} (locked: {wanted})")
    return Finding(
        "python packages",
        not wrong,
        f"{len(lock)} as locked" if not wrong else "; ".join(wrong[:5]),
        "make setup" if wrong else "",
    )


def disk(free: int) -> Finding:
    """Judge the free bytes where the home lies."""
    good = free >= DISK_BYTES
    remedy = "" if good else f"free some, or choose another folder by TIDEGAUGE_HOME; {DISK_BYTES >> 30} GiB are needed"
    return Finding("disk", good, f"{free / 2**30:.1f} GiB free", remedy)


def writable(folder: Path, closed: bool = False) -> Finding:
    """Judge whether this user may write where the home lies, or is to lie; closed: not even read what is there."""
    good = os.access(folder, os.W_OK | os.X_OK) and not closed
    remedy = "" if good else "mount it for writing, own it, or choose another folder by --home or TIDEGAUGE_HOME"
    cannot = f"{folder} cannot be {'read' if closed else 'written'} by this user"
    return Finding("home", good, str(folder) if good else cannot, remedy)


def closed(home: Home) -> bool:
    """Tell whether this user may not look at what the home holds, as another user's."""
    try:
        home.state.open().close()
    except PermissionError:
        return True
    except OSError:  # there is none
        return False
    return False


def file_size(most: int | None) -> Finding:
    """Judge the largest size of a file: what does not fit would be cut off, and ClickHouse would call it stored."""
    remedy = "" if most is None else "lift it where it is set: ulimit -f unlimited, LimitFSIZE=infinity, limits.conf"
    return Finding("size of a file", most is None, "not limited" if most is None else f"at most {most} bytes", remedy)


def memory(available: int) -> Finding:
    """Judge the bytes of memory that programs can still have."""
    good = available >= MEMORY_BYTES
    remedy = "" if good else f"end other programs; the stack takes up to {MEMORY_BYTES >> 30} GiB"
    return Finding("memory", good, f"{available / 2**30:.1f} GiB available", remedy)


def clock(now_ms: int, newest_file_ms: int) -> Finding:
    """Judge the clock: the broker's stamps decide which samples are too old or too far ahead."""
    shown = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now_ms / 1000))
    remedy = "set the clock: timedatectl set-ntp true"
    if now_ms < BUILT_MS:
        return Finding("clock", False, f"{shown}, before this program was written", remedy)
    if newest_file_ms > now_ms + 60_000:
        return Finding("clock", False, f"{shown}, but the home holds files from later", remedy)
    return Finding("clock", True, shown)


def listening(chosen: Mapping[str, int], free: Callable[[int], bool]) -> Finding:
    """Judge the ports."""
    taken = [f"{name}={port}" for name, port in chosen.items() if not free(port)]
    return Finding(
        "ports",
        not taken,
        f"{len(chosen)} free" if not taken else f"taken: {', '.join(taken)}",
        "choose others: --ports NAME=PORT,..., or free ones: --ports auto" if taken else "",
    )


def settings(environment: Iterable[str]) -> Finding:
    """Judge the names in the environment; what they say is for `up` to judge, which knows the parts."""
    from stack.unknown import unknown

    strange = list(unknown(environment))
    return Finding("settings", not strange, "; ".join(strange) or "all known", "unset or rename" if strange else "")


def examine(home: Home, port_text: str | None) -> list[Finding]:
    """Look at everything that the stack in this home needs."""
    import psutil

    # Not by Path.exists, which raises where a folder on the way may not be entered.
    existing = next(folder for folder in (home.path, *home.path.parents) if os.path.exists(folder))
    unknown = closed(home)
    now_ms = time.time_ns() // 1_000_000
    findings = [
        python(sys.version_info[:2]),
        java(java_version),
        versions(locked((ROOT / "requirements.lock").read_text()), version),
        *jars(JARS),
        settings(os.environ),
        writable(existing, unknown),
        disk(shutil.disk_usage(existing).free),
        file_size(limits.file_size()),
        clock(now_ms, 0 if unknown or not home.state.exists() else int(home.state.stat().st_mtime * 1000)),
    ]
    room = memory(psutil.virtual_memory().available)
    if unknown:  # which ports it remembers, too
        return [*findings, room, listening(ports.parse(port_text, {}), ports.is_free)]
    if recorded := running(home):
        ports.parse(port_text, recorded.ports)  # `up` would refuse what cannot be
        # What it listens on and has taken is its own.
        return [*findings, Finding("ports", True, "in use by this home's own stack")]
    chosen = choice(home, port_text)
    if left := leftovers(home):
        names = ", ".join(name for name, _ in left)
        return [*findings, Finding("ports", True, f"in use by what a killed supervisor left, `up` ends it: {names}")]
    return [*findings, room, listening(chosen, ports.is_free)]


def text(findings: list[Finding]) -> str:
    """Return the findings for people, one a line."""
    lines = []
    for one in findings:
        lines.append(f"{'ok     ' if one.good else 'MISSING'}  {one.what:<24}{one.found}")
        if one.remedy:
            lines.append(f"{'':9}{one.remedy}")
    return "\n".join(lines)
