"""What people see of a benchmark: progress while it runs, figures at its end."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

Figures = dict[str, Any]


class Progress:
    """One line on a terminal that is written over, or a line every ten seconds where there is none."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._last = 0.0

    def __call__(self, text: str) -> None:
        """Show the line now or, if it is too soon, not at all."""
        now = time.monotonic()
        if now - self._last < (0.2 if self._live else 10):
            return
        self._last = now
        print(f"\r\033[K{text}" if self._live else text, end="" if self._live else "\n", file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        """Show the line for good."""
        print(f"\r\033[K{text}" if self._live else text, file=sys.stderr, flush=True)


def conclude(
    run: Callable[[argparse.Namespace, Progress], Figures],
    options: argparse.Namespace,
    missed: Callable[[Figures], Sequence[str]] = lambda figures: (),
) -> int:
    """Run a benchmark, print its figures, write them to options.json; return 1 if a bar was missed."""
    progress = Progress()
    figures = run(options, progress)
    progress.say(json.dumps(figures, indent=1))
    if options.json:
        with open(options.json, "w") as out:
            json.dump(figures, out, indent=1)
    return verdict(missed(figures), progress)


def verdict(missed: Sequence[str], progress: Progress) -> int:
    """Tell the bars that were missed; return the exit code."""
    for line in missed:
        progress.say(f"TG-bench-bar: {line}")
    return 1 if missed else 0


def report(figures: dict[str, Any]) -> str:
    """Return the figures for people."""
    how = f"{figures['values']}, {figures['mode']}, {figures['rows_per_batch']} rows a batch"
    reference, in_reference = figures["reference_cpu_s"], figures["samples_per_reference"]
    flow, client, merge = figures["flow_s"], figures["submit_client_cpu_s"], figures["optimize_cpu_s"]
    lines = [
        f"{figures['samples']:,} samples ({how})",
        f"wall           {figures['wall_s']:.1f} s from the first record, {figures['samples_per_s']:,} samples/s",
        f"flow           {flow:.1f} s from the first row stored, {figures['samples_per_flow_s']:,} samples/s",
        "cpu seconds    " + ", ".join(f"{name} {used:.1f}" for name, used in figures["cpu_s"].items() if used >= 0.05),
        f"cpu total      {figures['cpu_total_s']:.1f} s, {figures['samples_per_cpu_s']:,} samples per CPU second",
        f"reference      {reference:.2f} CPU s for fixed work beside it, {in_reference:,} samples in the same CPU time",
        f"not counted    submitting client {client:.1f} s, final merge {merge:.1f} s",
    ]
    for table, disk in figures["disk"].items():
        by_column = ", ".join(
            f"{name} {size}"
            for name, size in sorted(disk["bytes_per_row_by_column"].items(), key=lambda item: -item[1])
        )
        lines.append(f"{table:<14} {disk['bytes_per_row']} bytes a row on disk: {by_column}")
    wrong = figures["wrong"]
    lines.append(f"check          {'every row as numpy has it' if not wrong else f'{len(wrong)} faults'}")
    return "\n".join([*lines, *(f"  {line}" for line in wrong[:20])])
