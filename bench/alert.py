"""How long from a deciding sample's arrival in Kafka to the event in alert.events, and what does an evaluation cost?

1,000 rules over 100,000 series, a hundred series a rule. Gate and alert job on a stack of their own; the load rises
until events come late, and is measured at 70 % of what was carried. Prometheus evaluates the same rules on the same
samples.
"""

import argparse
import json
import re
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from kafka import KafkaConsumer, KafkaProducer

from bench import alertload, cpu, peers, prometheus
from bench.alertcost import cost
from bench.alertload import METRICS_A_SOURCE, TENANT, Source, schedule
from bench.cluster import Cluster, ClusterError
from bench.reference import cpu_seconds
from bench.report import Progress
from schemas import topics
from schemas.codec import codec
from sinks.control import publish
from udfs.alert.rulefile import parse_file

BAR_S = 2.0
SHARE = 0.7
# A step of the load is carried if half of its last events came within this.
CARRIED_S = 2.0
_DURATION = re.compile(r"^prometheus_rule_evaluation_duration_seconds_(sum|count)(?:{[^}]*})? (\S+)$", re.M)


@dataclass(slots=True)
class Heard:
    """Firings as they come: (rule, starts_at in ms, wall clock of their coming in ms)."""

    kafka: str
    firings: list[tuple[int, int, float]] = field(default_factory=list)
    _done: threading.Event = field(default_factory=threading.Event)
    _ready: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Read alert.events until stop()."""
        consumer = KafkaConsumer(topics.ALERTS, bootstrap_servers=self.kafka, fetch_max_wait_ms=20)
        while not self._done.is_set():
            for messages in consumer.poll(timeout_ms=50).values():
                now = time.time() * 1000
                for message in messages:
                    event = codec("alert_event").decode(message.value)
                    if event["tenant"] == TENANT and event["state"] == "firing" and not event["resend"]:
                        self.firings.append((int(event["alert"][1:]), event["starts_at"], now))
            self._ready.set()
        consumer.close()

    def __enter__(self) -> "Heard":
        self._thread = threading.Thread(target=self.run)
        self._thread.start()
        self._ready.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    _thread: threading.Thread = field(default_factory=threading.Thread)


def step(kafka: str, sources: Sequence[Source], rate: float, seconds: float) -> dict[str, Any]:
    """Send at a rate (samples a second) for so long; return the latencies of the firings and when they came, s."""
    producer = KafkaProducer(bootstrap_servers=kafka, acks="all", linger_ms=0, compression_type="lz4")
    crossings: dict[int, list[tuple[int, Any]]] = {}
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
            sent = producer.send(topics.RAW, value=batch.encode(), key=batch.source.encode())
            crossings.setdefault(rule, []).append((at, sent))
        producer.flush(30)
        time.sleep(5)
    producer.close()
    latencies, times = [], []
    for rule, starts_at, came in heard.firings:
        before = [sent for at, sent in crossings.get(rule, []) if at <= starts_at]
        if before:  # the broker's clock at the arrival of the sample that crossed the threshold
            latencies.append((came - before[-1].get(timeout=10).timestamp) / 1000)
            times.append(came / 1000)
    return {
        "rate": rate,
        "latencies": latencies,
        "times": times,
        "crossings": sum(map(len, crossings.values())),
        "behind_s": behind,
    }


def carried(found: dict[str, Any]) -> bool:
    """Tell whether the events of a step came in time to its end."""
    last = found["latencies"][-max(1, len(found["latencies"]) // 3) :]
    return bool(last) and float(np.median(last)) <= CARRIED_S


def said(found: dict[str, Any]) -> str:
    """Return a step's figures for people."""
    if not found["latencies"]:
        return f"{found['rate']:>9,.0f} samples/s: no event"
    p50, p99 = np.percentile(found["latencies"], [50, 99])
    last = float(np.median(found["latencies"][-max(1, len(found["latencies"]) // 3) :]))
    return (
        f"{found['rate']:>9,.0f} samples/s: p50 {p50:.2f} s, p99 {p99:.2f} s, last third {last:.2f} s; "
        f"{len(found['latencies'])} firings, {found['crossings']} crossings; sender behind {found['behind_s']:.2f} s"
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
    with urllib.request.urlopen(f"http://{endpoint}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    sums = {"sum": 0.0, "count": 0.0}
    for which, value in _DURATION.findall(text):
        sums[which] += float(value)
    return sums["sum"], sums["count"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; 1 if the bar is missed or events are missing."""
    parser = argparse.ArgumentParser(prog="python -m bench.alert", description=__doc__)
    parser.add_argument("--rules", type=int, default=1000, help="a hundred series each; default 1000")
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
    progress, figures = Progress(), {}
    bad = False
    if options.only != "latency":
        figures["cost"] = cost(options.rules, options.buckets, progress)
        with tempfile.TemporaryDirectory(prefix="tidegauge-alert-") as home:
            figures["prometheus"] = beside(options, Path(home), progress)
        print(f"evaluation: {json.dumps(figures)}; vmalert: {_vmalert()}")
    if options.only != "cost":
        figures["latency"] = latency(options, progress)
        found = figures["latency"].get("found")
        bad = found is None or float(np.percentile(found["latencies"] or [np.inf], 99)) > BAR_S
        print(f"at 70 % of {figures['latency']['most']:,.0f}: {said(found) if found else 'no load was carried'}")
        print(f"cpu seconds in {figures['latency'].get('wall_s', 0):.0f} s: {figures['latency'].get('cpu_s')}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))
    print(f"the bar of {BAR_S:g} s is {'missed' if bad else 'met'}" if options.only != "cost" else "")
    return int(bad)


def _vmalert() -> str:
    absent = [name for name in ("vmalert", "victoria-metrics") if peers.find(name) is None]
    return f"skipped: {' and '.join(absent)} neither on PATH nor in $PEERS" if absent else "not measured here"


if __name__ == "__main__":
    sys.exit(main())
