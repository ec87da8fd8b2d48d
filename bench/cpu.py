"""CPU seconds of processes and all their children, from /proc."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Stat:
    """What /proc/<pid>/stat says: times in seconds; reaped is that of children that ended and were waited for."""

    parent: int
    own: float
    reaped: float


def parse_stat(text: str) -> Stat:
    """Return the fields of one line of /proc/<pid>/stat (proc(5)); the name may hold blanks and brackets."""
    fields = text[text.rindex(")") + 2 :].split()
    own, reaped = int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])
    return Stat(int(fields[1]), own / _TICK, reaped / _TICK)


def snapshot() -> dict[int, Stat]:
    """Return all processes."""
    found = {}
    for entry in os.listdir(_PROC):
        if entry.isdigit():
            try:
                found[int(entry)] = parse_stat((_PROC / entry / "stat").read_text())
            except (FileNotFoundError, ProcessLookupError):
                # It ended between the list and the look; its parent's `reaped` has its time.
                continue
    return found


def seconds(roots: Mapping[str, int], processes: Mapping[int, Stat]) -> dict[str, float]:
    """Return CPU seconds by name: of the root, its living descendants, and what each has reaped.

    A descendant that is a root itself counts under its own name only.
    """
    owner = {pid: name for name, pid in roots.items()}
    children: dict[int, list[int]] = {}
    for pid, stat in processes.items():
        children.setdefault(stat.parent, []).append(pid)
    used = {}
    for name, root in roots.items():
        total, queue = 0.0, [root]
        while queue:
            pid = queue.pop()
            if pid not in processes or owner.get(pid, name) != name:
                continue
            total += processes[pid].own + processes[pid].reaped
            queue += children.get(pid, [])
        used[name] = total
    return used


def difference(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Return what each name used between two readings, 10 ms exact."""
    return {name: round(used - before.get(name, 0.0), 2) for name, used in after.items()}
