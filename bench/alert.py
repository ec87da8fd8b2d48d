"""How long from a deciding sample's arrival in Kafka to the event in alert.events, and what does an evaluation cost?

1,000 rules over 100,000 series, a hundred series a rule. Gate and alert job on a stack of their own; the load rises
until events come late, and is measured at 70 % of what was carried. Prometheus evaluates the same rules on the same
samples.
"""

import argparse
import json
import re
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from kafka import KafkaConsumer, KafkaProducer

from bench import alertload, cpu, peers, program, prometheus
from bench.alertcost import cost
from bench.alertload import METRICS_A_SOURCE, TENANT, Source, schedule
from bench.beside import Beside
from bench.cluster import Cluster, ClusterError
from bench.reference import cpu_seconds
from bench.report import Progress, verdict
from bench.serving import Client
from schemas import topics
from schemas.codec import codec
from sinks.control import publish
from stack.whole import whole
from udfs.alert.rulefile import parse_file

BAR_S = 2.0
SHARE = 0.7
# A step of the load is carried if half of its last events came within this.
CARRIED_S = 2.0
_DURATION = re.compile(r"^prometheus_rule_evaluation_duration_seconds_(sum|count)(?:{[^}]*})? (\S+)$", re.M)

Firing = tuple[int, int, float]


class Heard(Beside):
    """Firings as they come: (rule, starts_at in ms, wall clock of their coming in ms)."""

    def __init__(self, kafka: str) -> None:
        super().__init__("the consumer of alert.events", self._hear)
        self._kafka = kafka
        self._ready = threading.Event()
        self.firings: list[Firing] = []

    def __enter__(self) -> Self:
        super().__enter__()
        self._ready.wait(60)
        return self

    def _hear(self, done: threading.Event) -> None:
        consumer = KafkaConsumer(topics.ALERTS, bootstrap_servers=self._kafka, fetch_max_wait_ms=20)
        while not done.is_set():
            for messages in consumer.poll(timeout_ms=50).values():
                now = time.time() * 1000
                for message in messages:
                    event = codec("alert_event").decode(message.value)
                    if event["tenant"] == TENANT and event["state"] == "firing" and not event["resend"]:
                        self.firings.append((int(event["alert"][1:]), event["starts_at"], now))
            self._ready.set()
        consumer.close()


def firings_of(crossings: Sequence[tuple[int, int]], firings: Sequence[Firing]) -> list[float | None]:
    """Return when the firing of each crossing (rule, ms) came, wall clock in ms; None if none did.

    A firing is of the last crossing of its rule by its start; crossings are in the order of time.
    """
    places: dict[int, list[int]] = {}
    for place, (rule, _) in enumerate(crossings):
        places.setdefault(rule, []).append(place)
    came: list[float | None] = [None] * len(crossings)
    for rule, starts_at, at in firings:
        before = [place for place in places.get(rule, []) if crossings[place][1] <= starts_at]
        if before and came[before[-1]] is None:
            came[before[-1]] = at
    return came


def step(kafka: str, sources: Sequence[Source], rate: float, seconds: float) -> dict[str, Any]:
    """Send at a rate (samples a second) for so long; return how long the firing of each crossing took, s."""
    producer = KafkaProducer(bootstrap_servers=kafka, acks="all", linger_ms=0, compression_type="lz4")
    crossings: list[tuple[int, int]] = []
    arrivals: list[Any] = []
    every = len(sources) * METRICS_A_SOURCE * alertload.HOSTS / rate
    behind = 0.0
    with Heard(kafka) as heard:
        begun = time.monotonic()
        for due, number in schedule(len(sources), every, seconds):
            wait = begun + due - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            behind = max(behind, -wait)
            at = time.time_ns() // 1_000_000
            batch, rule = sources[number].scrape(at)
            arrivals.append(producer.send(topics.RAW, value=batch.encode(), key=batch.source.encode()))
            crossings.append((rule, at))
        producer.flush(30)
        time.sleep(5)
    producer.close()
    # Since the arrival, by the broker's clock, of the sample that crossed the threshold.
    waits = [
        None if came is None else (came - sent.get(timeout=10).timestamp) / 1000
        for came, sent in zip(firings_of(crossings, heard.firings), arrivals, strict=True)
    ]
    return {
        "rate": rate,
        "waits": waits,
        "sent_at": [at / 1000 for _, at in crossings],
        "behind_s": behind,
    }


def answered(found: dict[str, Any]) -> list[float]:
    """Return the waits, s, of the crossings that fired."""
    return [one for one in found["waits"] if one is not None]


def last_third(found: dict[str, Any]) -> float:
    """Return the median wait of the last third of the crossings, s: one that never fired took for ever."""
    waits = [np.inf if one is None else one for one in found["waits"]]
    return float(np.median(waits[-max(1, len(waits) // 3) :])) if waits else np.inf


def carried(found: dict[str, Any]) -> bool:
    """Tell whether the events of a step came in time to its end."""
    return last_third(found) <= CARRIED_S


def missed(found: dict[str, Any] | None) -> list[str]:
    """Return the bars that the measured step misses."""
    if found is None:
        return ["no load was carried"]
    lines, waits = [], answered(found)
    if lost := len(found["waits"]) - len(waits):
        lines.append(f"{lost} of {len(found['waits'])} crossings did not fire")
    if waits and (p99 := float(np.percentile(waits, 99))) > BAR_S:
        lines.append(f"p99 {p99:.2f} s, at most {BAR_S:g} s is wanted")
    return lines if found["waits"] else ["nothing was sent"]


def said(found: dict[str, Any]) -> str:
    """Return a step's figures for people."""
    waits = answered(found)
    if not waits:
        return f"{found['rate']:>9,.0f} samples/s: no event"
    p50, p99 = np.percentile(waits, [50, 99])
    return (
        f"{found['rate']:>9,.0f} samples/s: p50 {p50:.2f} s, p99 {p99:.2f} s, last third {last_third(found):.2f} s; "
        f"{len(waits)} of {len(found['waits'])} crossings fired; sender behind {found['behind_s']:.2f} s"
    )


def latency(options: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    """Raise the load until it is not carried, and measure at 70 % of what was."""
    env = {"TIDEGAUGE_ALERT_LATENESS_S": str(options.lateness), "TIDEGAUGE_ALERT_BUCKETS": str(options.buckets)}
    with Cluster(env, without=("query",), keep=options.keep) as cluster:
        kafka = cluster.endpoints["kafka"]
        text = alertload.rule_file(options.rules, f"{options.interval}s")
        rules = parse_file(text, TENANT, "bench.yaml", stream=True).rules
        publish(kafka, topics.RULES, {rule.key: rule.encode() for rule in rules})
        cluster.submit(("gate", "alert"))
        until = time.monotonic() + 120
        while (running := cluster.tasks())[0] != running[1] or running[2]:
            if time.monotonic() > until:
                raise ClusterError(f"TG-bench-jobs: {running}")
            time.sleep(0.5)
        sources = [Source(number) for number in range(options.rules // METRICS_A_SOURCE)]
        progress.say("warming up")
        step(kafka, sources, options.rates[0], options.warmup)
        most, steps = 0.0, []
        for rate in options.rates:
            steps.append(step(kafka, sources, rate, options.seconds))
            progress.say(said(steps[-1]))
            if not carried(steps[-1]):
                break
            most = rate
        if not most:
            return {"steps": steps, "most": 0.0}
        time.sleep(20)  # the backlog of the step that was too much
        reference, before, begun = cpu_seconds(), cluster.cpu(), time.monotonic()
        found = step(kafka, sources, SHARE * most, 2 * options.seconds)
        wall = time.monotonic() - begun
        used = cpu.difference(before, cluster.cpu())
        progress.say(said(found))
        return {
            "steps": steps,
            "most": most,
            "found": found,
            "reference_cpu_s": reference,
            "cpu_s": used,
            "wall_s": wall,
        }


def beside(options: argparse.Namespace, folder: Path, progress: Progress) -> dict[str, Any]:
    """Return Prometheus's cost of an evaluation, us: the same rules on the same samples by remote write."""
    (folder / "rules.yaml").write_text(alertload.rule_file(options.rules, "5s"))
    with prometheus.server(folder, "rule_files: [rules.yaml]\n") as endpoint:
        if endpoint is None:
            return {"skipped": "prometheus is neither on PATH nor in $PEERS"}
        sources = [Source(number) for number in range(options.rules // METRICS_A_SOURCE)]
        labels = [[prometheus.labels(one) for one in alertload.series_of(source.number)] for source in sources]
        before = (0.0, 0.0)
        for number in range(6):
            progress(f"Prometheus: scrape {number + 1} of 6")
            at = time.time_ns() // 1_000_000
            for source, own in zip(sources, labels, strict=True):
                batch, _ = source.scrape(at)
                prometheus.send(endpoint, prometheus.request(own, batch.timestamps, batch.values))
            if number == 1:
                before = _durations(endpoint)
            time.sleep(5)
        took, count = (after - early for after, early in zip(_durations(endpoint), before, strict=True))
        return {"version": prometheus.version(), "us_per_rule": took / count * 1e6}


def _durations(endpoint: str) -> tuple[float, float]:
    text = Client(endpoint).get("/metrics").decode()
    sums = {"sum": 0.0, "count": 0.0}
    for which, value in _DURATION.findall(text):
        sums[which] += float(value)
    return sums["sum"], sums["count"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; 1 if the bar is missed or events are missing."""
    parser = argparse.ArgumentParser(prog="python -m bench.alert", description=__doc__)
    parser.add_argument(
        "--rules", type=whole(METRICS_A_SOURCE, 100_000), default=1000, help="a hundred series each; default 1000"
    )
    parser.add_argument("--interval", type=int, default=1, help="of the rules, seconds; default 1")
    parser.add_argument("--lateness", type=int, default=0, help="TIDEGAUGE_ALERT_LATENESS_S; default 0")
    parser.add_argument("--buckets", type=int, default=2, help="TIDEGAUGE_ALERT_BUCKETS; default 2")
    parser.add_argument("--rates", type=float, nargs="+", default=[2.5e3, 5e3, 1e4, 2e4, 4e4], help="samples a second")
    parser.add_argument("--seconds", type=float, default=20, help="of each step of the load; default 20")
    parser.add_argument("--warmup", type=float, default=60, help="seconds; default 60")
    parser.add_argument("--only", choices=["cost", "latency"], help="one half")
    parser.add_argument("--keep", action="store_true", help="leave the stack running")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args(argv)
    if options.rules % METRICS_A_SOURCE:
        parser.error(f"--rules {options.rules} is no multiple of {METRICS_A_SOURCE}: some would read nothing")
    progress, figures = Progress(), {}
    bad: list[str] = []
    if options.only != "latency":
        figures["cost"] = cost(options.rules, options.buckets, progress)
        with program.folder("alert") as home:
            figures["prometheus"] = beside(options, home, progress)
        print(f"evaluation: {json.dumps(figures)}; vmalert: {_vmalert()}")
    if options.only != "cost":
        figures["latency"] = latency(options, progress)
        found = figures["latency"].get("found")
        bad = missed(found)
        print(f"at 70 % of {figures['latency']['most']:,.0f}: {said(found) if found else 'no load was carried'}")
        print(f"cpu seconds in {figures['latency'].get('wall_s', 0):.0f} s: {figures['latency'].get('cpu_s')}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))
    if options.only != "cost" and not bad:
        print(f"the bar of {BAR_S:g} s is met, every crossing fired")
    return verdict(bad, progress)


def _vmalert() -> str:
    absent = [name for name in ("vmalert", "victoria-metrics") if peers.find(name) is None]
    return f"skipped: {' and '.join(absent)} neither on PATH nor in $PEERS" if absent else "not measured here"


if __name__ == "__main__":
    program.run(main)
