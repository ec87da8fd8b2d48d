"""python -m stack.soak: watch the running stack, and fail if its memory grows or a part of it does not run."""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np
from kafka.errors import KafkaError

from jobs.settings import JobSettings
from sinks.groups import Groups
from stack.home import Home
from stack.lag import lags, losses
from stack.status import status
from stack.upgrade import JOBS
from stack.whole import whole

GROWTH_LIMIT = 0.05
"""Growth of the memory of everything together, from the second quarter to the last, that still counts as none."""


def growth(sizes: Sequence[int]) -> float:
    """Return by which part the last quarter's mean lies above the second quarter's; the first one warms up."""
    quarters = np.array_split(np.asarray(sizes, dtype=np.float64), 4)
    return float(quarters[3].mean() / quarters[1].mean() - 1.0)


def faults(shown: Mapping[str, Any], restarts: Mapping[str, int]) -> list[str]:
    """Return what is wrong in a status, a line each. restarts: of each process, in the status before."""
    if shown["phase"] != "running":
        return [f"TG-soak the stack in {shown['home']} is {shown['phase']}"]
    processes = shown["processes"]
    died = [name for name, one in processes.items() if one["restarts"] > restarts.get(name, one["restarts"])]
    found = [f"TG-soak died meanwhile: {', '.join(died)}"] if died else []
    for name, one in processes.items():
        if one["state"] not in ("up", "done", "off"):
            found.append(f"TG-soak process {name} is {one['state']}")
    if processes["jobs"]["state"] != "off":
        if shown["flink_error"]:
            return [*found, f"TG-soak Flink does not answer: {shown['flink_error']}"]
        states = {name: shown["jobs"].get(name, {"state": "gone"})["state"] for name in JOBS}
        found += [f"TG-soak job {name} is {state}" for name, state in states.items() if state != "RUNNING"]
    return found


def lost(kafka: str, prefix: str) -> list[str]:
    """Return a line for each group of that prefix and each topic of which it has lost records."""
    try:
        with closing(Groups(kafka, prefix)) as groups:
            return losses(lags(groups.places(), {}))
    except KafkaError as error:
        return [f"TG-kafka: {kafka}: {error}"]


def main(argv: Sequence[str] | None = None) -> int:
    """Sample the status every few seconds; exit code 1 on growth, on a restart, or if a part does not run."""
    parser = argparse.ArgumentParser(prog="python -m stack.soak", description=__doc__)
    parser.add_argument("--home", help="as of `tidegauge up`")
    parser.add_argument("--minutes", type=whole(1, 100_000), default=20, help="how long to watch; default 20")
    parser.add_argument("--interval", type=whole(1, 3600), default=10, help="seconds between samples; default 10")
    args = parser.parse_args(argv)
    home, end = Home.choose(args.home), time.monotonic() + args.minutes * 60
    sizes: list[int] = []
    restarts: dict[str, int] = {}
    while time.monotonic() < end or len(sizes) < 4:
        shown = status(home)
        wrong = faults(shown, restarts) or lost(shown["endpoints"]["kafka"], f"{JobSettings().job_prefix}-")
        if wrong:
            print("\n".join(wrong), file=sys.stderr)
            return 1
        sizes.append(shown["rss"])
        restarts = {name: one["restarts"] for name, one in shown["processes"].items()}
        print(f"{time.strftime('%H:%M:%S')}  {shown['rss'] / 2**30:.3f} GiB", flush=True)
        time.sleep(args.interval)
    grown = growth(sizes)
    print(f"memory grew by {grown:+.1%} from the second to the last quarter; the limit is {GROWTH_LIMIT:.0%}")
    return 0 if grown <= GROWTH_LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
