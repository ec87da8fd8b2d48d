"""Prometheus's own test corpus, which lies beside the checkout and not in it, and its runner."""

import argparse
import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from load.load import load
from load.progress import Progress
from sinks.clickhouse import Clickhouse

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = Path(os.environ.get("CONFORMANCE") or ROOT.parent / "shared" / "conformance")
BASELINE = FOLDER / "baseline-3.5.3-default.json"
LEDGER = Path(__file__).parent / "divergences.txt"

# file:line of an evaluation, and "eval", "range" (the same as a range query) or "annotations".
Case = tuple[str, str]

YEAR_2000 = 946_684_800_000


def baseline() -> dict[str, set[str]]:
    """Return file:line of the evaluations that Prometheus 3.5.3 answers without feature flags, by file."""
    found: dict[str, set[str]] = {}
    if BASELINE.is_file():
        for name, line in json.loads(BASELINE.read_text())["passed"]:
            found.setdefault(name, set()).add(f"{name}:{line}")
    return found


def ledger(text: str) -> dict[Case, str]:
    """Return the divergences of a ledger, each with its reason; # begins a comment line."""
    found: dict[Case, str] = {}
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            place, kind, reason = line.split(maxsplit=2)
            assert (place, kind) not in found, f"twice in the ledger: {line}"
            assert kind in ("eval", "range", "annotations"), f"no such kind: {line}"
            found[place, kind] = reason
    return found


def judged(failed: dict[Case, str], listed: dict[Case, str]) -> list[str]:
    """Return what is wrong: failures that nobody listed, and listed ones that pass."""
    new = [f"{place} {kind} {why}" for (place, kind), why in failed.items() if (place, kind) not in listed]
    gone = [f"{place} {kind} passes and is listed" for place, kind in listed if (place, kind) not in failed]
    return new + gone


def _runner() -> Any:
    spec = importlib.util.spec_from_file_location("run_promqltest", FOLDER / "run_promqltest.py")
    assert spec is not None and spec.loader is not None
    # No compiled file in a folder that is not ours.
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


@dataclass
class Loader:
    """What the runner loads with: `tidegauge load`'s own functions, and a tenant for each segment."""

    clickhouse: Clickhouse
    folder: Path
    jsonv: Callable[[float], object]
    tenant: str = ""
    _numbers: Iterator[int] = field(default_factory=count)

    def clear(self) -> dict[str, Any]:
        self.tenant = f"conformance-{next(self._numbers)}"
        return {"headers": {"X-Scope-OrgID": self.tenant}}

    def load(self, series: list[dict[str, Any]]) -> None:
        path = self.folder / "segment.jsonl"
        with path.open("w") as file:
            for one in series:
                samples = [[ms, self.jsonv(value)] for ms, value in one["samples"]]
                file.write(json.dumps({"labels": one["labels"], "samples": samples}) + "\n")
        with Progress("load", path.stat().st_size) as progress:
            # The corpus is of 1970, which no tier keeps.
            load(self.clickhouse, self.tenant, path, progress, since_ms=YEAR_2000)
        if progress.rejected:
            raise ValueError(f"{progress.rejected} lines refused")


class Corpus:
    """Runs files of the corpus against a query service at url, over data loaded into the ClickHouse it reads."""

    def __init__(self, url: str, clickhouse: Clickhouse, folder: Path) -> None:
        self._runner = _runner()
        self._loader = Loader(clickhouse, folder, self._runner.jsonv)
        self._client = self._runner.Client(url, False, 60)

    def failed(self, name: str) -> dict[Case, str]:
        """Run one file; return what failed and why."""
        options = argparse.Namespace(
            time_offset=0,
            baseline=str(BASELINE),
            verbose=False,
            only=None,
            epsilon=1e-6,
            check_annotations=True,
            range_check=True,
            no_negative_time=True,
        )
        run = self._runner.Runner(options, self._loader, self._client)
        run.run_file(str(FOLDER / "promqltest" / name))
        kinds = {"rfail": "range"}
        return {
            (f"{name}:{one['line']}", kinds.get(one["what"], "eval")): f"{one['expr']}: {one['why']}"
            for one in run.details
        }
