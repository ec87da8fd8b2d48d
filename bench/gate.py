"""What does the gate cost? CPU time on one core, the gate alone, without Kafka and Flink.

Three bars (issue 5): a known set passes for 0.1 us a sample at 1,000 samples a batch; a limit that is hit, by
refusing or by folding, costs at most 1.2 times what it costs when it is not; 50,000 new series a second are admitted.
Run: python -m bench.gate [--json FILE].
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import inf
from pathlib import Path

import numpy as np

from bench import program
from bench.report import Progress, verdict
from schemas.batch import Batch, Series, encode_series_set
from schemas.policy import Policy
from udfs.gate.gate import Gate, Unknown
from udfs.gate.limits import Limits
from udfs.gate.policies import Policies
from udfs.gate.standing import Owner, Standing, Verdict

NOW = 1_800_000_000_000
MOST = {"us_a_sample": 0.1, "hit_over_not_hit": 1.2, "folding_over_not_hit": 1.2}
LEAST = {"new_series_a_second": 50_000}


def rows(first: int, count: int) -> list[Series]:
    return [
        Series(f"metric_{number % 50}", (("host", f"host-{number}"), ("job", "node"), ("region", "eu-1")), "gauge")
        for number in range(first, first + count)
    ]


def record(series: list[Series], stamps: int = 1) -> bytes:
    values = np.random.default_rng(1).random((stamps, len(series)))
    at = NOW + np.arange(stamps) * 10
    return Batch("default", "bench", NOW, encode_series_set(series), at, values).encode()


class Both:
    """The gate's two steps with what goes between them."""

    def __init__(self, shards: int, policy: Mapping[str, object]) -> None:
        policies = Policies(Limits())
        made = Policy.model_validate({"tenant": "default", **policy})
        policies.put("default", made.encode())
        self.standing = Standing(shards, policies)
        self.owner = Owner(shards, policies)
        self.gate = Gate(Limits(), self.standing)
        self.slow = Gate(Limits(), self.owner)

    def send(self, data: bytes) -> None:
        if any(isinstance(one, Unknown) for one in self.gate.judge(data, NOW)):
            self.decide(data)
            assert self.owner.verdict is not None
            key, verdict = self.owner.verdict
            self.standing.hear(*Verdict.read(verdict.encode(key)))

    def decide(self, data: bytes) -> None:
        for _ in self.slow.judge(data, NOW):
            pass
        self.owner.budget.changes()


def best(acts: Sequence[Callable[[], None]], times: int = 50, rounds: int = 60) -> list[float]:
    """Return the CPU seconds of one call of each, the best round's mean; taking turns, so that noise hits all alike."""
    found = [float("inf")] * len(acts)
    for _ in range(rounds):
        for place, act in enumerate(acts):
            begun = time.process_time()
            for _ in range(times):
                act()
            found[place] = min(found[place], (time.process_time() - begun) / times)
    return found


def fast(series: int, stamps: int, policy: Mapping[str, object], shards: int = 4) -> Callable[[], None]:
    """Return what judges a batch of a known set."""
    both, data = Both(shards, policy), record(rows(0, series), stamps)
    for _ in range(2):
        both.send(data)

    def act() -> None:
        for _ in both.gate.judge(data, NOW):
            pass

    return act


def flood(policy: Mapping[str, object], batches: int = 100, size: int = 1000) -> float:
    """Return the cost of a series that was never seen, us: the gate's question, decision, state and verdict."""
    sent = [record(rows(number * size, size)) for number in range(batches)]
    rounds = []
    for _ in range(3):
        both = Both(8, policy)
        begun = time.process_time()
        for data in sent:
            both.send(data)
        rounds.append((time.process_time() - begun) / (batches * size) * 1e6)
    return min(rounds)


def measured() -> Iterator[tuple[str, float]]:
    half = {"metrics": [{"name": "*", "max_series": 10}]}  # of 1,000 series in 50 metrics
    folded = {"metrics": [{"name": "*", "max_series": 10, "action": "fold"}]}
    acts = [fast(1000, 1, {}), fast(1000, 1, half), fast(1000, 1, folded)]
    free, hit, folding = best(acts)
    narrow = {"metrics": [{"name": "*", "max_series": 1, "action": "fold"}]}
    tall, tall_folding = best([fast(100, 10, {}), fast(100, 10, narrow)])
    yield "us_a_sample", free * 1e3
    yield "us_a_sample_10_scrapes_of_100", tall * 1e3
    yield "hit_over_not_hit", hit / free
    yield "folding_over_not_hit", folding / free
    yield "folding_over_not_hit_10_scrapes", tall_folding / tall
    new = flood({})
    yield "us_a_new_series", new
    yield "new_series_a_second", 1e6 / new
    yield "flood_hit_over_not_hit", flood({"max_series": 1000}) / new


def missed(found: Mapping[str, float]) -> list[str]:
    """Return the bars that are missed; a figure that is not there misses its own."""
    # Not >, which nothing is that is no number.
    high = [
        f"{name} {found.get(name)}, at most {bar:g}" for name, bar in MOST.items() if not found.get(name, inf) <= bar
    ]
    low = [
        f"{name} {found.get(name)}, at least {bar:g}" for name, bar in LEAST.items() if not found.get(name, 0) >= bar
    ]
    return high + low


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    args = parser.parse_args(argv)
    found = dict(measured())
    for name, value in found.items():
        bar = f"   at most {MOST[name]:g}" if name in MOST else f"   at least {LEAST[name]:,}" if name in LEAST else ""
        print(f"{name:32} {value:12.3f}{bar}", flush=True)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))
    return verdict(missed(found), Progress())


if __name__ == "__main__":
    program.run(main)
