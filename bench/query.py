"""How fast are dashboards? Ten panels on 20 M samples, cold and cached, beside Prometheus. python -m bench.query.

The real service over the embedded ClickHouse and Redis, no stack; data as the jobs leave it (fill.py). Every answer is
checked: the cached against the uncached, those against Prometheus where there is one, and sums against numpy.
"""

import argparse
import json
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench import fill, panels, program, prometheus
from bench.panels import FINE, HOUR_MS, MONTH, PANELS, WIDE, Data, Panel
from bench.reference import cpu_seconds
from bench.report import Progress
from bench.serving import Client, query_service, redis_server
from bench.storage import server as clickhouse_server
from sinks.clickhouse import Clickhouse
from sinks.ddl import apply
from stack.whole import whole

DATABASE, TENANT = "tidegauge", "default"
MINUTE_MS = 60_000
# Data reach this far beyond the start, so that the newest steps of panels have samples while the bench runs.
AHEAD_MS = 10 * MINUTE_MS
CACHED_MS, MONTH_MS = 10.0, 100.0
AT_ONCE = 6

Times = dict[str, list[float]]


def now_ms() -> int:
    """Return the wall clock."""
    return time.time_ns() // 1_000_000


def one_by_one(endpoint: str, runs: int, asked: Sequence[Panel] = PANELS) -> Times:
    """Return the ms of each panel, asked in turn as often as `runs`, as the clock goes on."""
    return in_turn(endpoint, asked, (now_ms for _ in range(runs)))


def in_turn(endpoint: str, asked: Sequence[Panel], clocks: Iterable[Callable[[], int]]) -> Times:
    """Return the ms of each panel, asked in turn once for each clock, its newest step by that clock."""
    client = Client(endpoint)
    times: Times = {panel.name: [] for panel in asked}
    for clock in clocks:
        for panel in asked:
            times[panel.name].append(client.ms(panel, clock()))
    return times


def again(endpoint: str, runs: int) -> Times:
    """Return the same for one range: what the cache has, whole."""
    moment = now_ms()
    in_turn(endpoint, PANELS, [lambda: moment])
    return in_turn(endpoint, PANELS, [lambda: moment] * runs)


def refreshed(endpoint: str, runs: int) -> Times:
    """Return the same for ranges that move on a step each time, up to now: the newest steps are not in the cache."""
    last = now_ms()
    moments = range(last - (runs - 1) * FINE.step_ms, last + 1, FINE.step_ms)
    return in_turn(endpoint, PANELS, [partial(int, moment) for moment in moments])


def at_once(endpoint: str, runs: int, asked: Sequence[Panel] = PANELS) -> Times:
    """Return the same with AT_ONCE clients, each asking all panels, from another one on."""
    found: list[Times] = [{} for _ in range(AT_ONCE)]

    def ask(place: int) -> None:
        shift = place * len(asked) // AT_ONCE
        found[place] = one_by_one(endpoint, runs, [*asked[shift:], *asked[:shift]])

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {panel.name: [ms for one in found for ms in one[panel.name]] for panel in asked}


def series_of(body: bytes) -> dict[str, dict[float, float]]:
    """Return the values of a matrix by labels and time."""
    return {
        json.dumps(one["metric"], sort_keys=True): {at: float(value) for at, value in one["values"]}
        for one in json.loads(body)["data"]["result"]
    }


def differences(got: bytes, expected: bytes, ties: bool = False) -> str:
    """Return how two answers differ beyond rounding, "" if they do not. ties: which series they name is open."""
    one, other = series_of(got), series_of(expected)
    if ties:
        one, other = ranked(one), ranked(other)
    if one.keys() != other.keys():
        return f"{len(one)} series, not {len(other)}"
    for labels, values in one.items():
        wanted = other[labels]
        if values.keys() != wanted.keys():
            return f"{labels}: {len(values)} steps, not {len(wanted)}"
        for at, value in values.items():
            if not np.isclose(value, wanted[at], rtol=1e-9, atol=1e-12, equal_nan=True):
                return f"{labels} at {at}: {value!r}, not {wanted[at]!r}"
    return ""


def ranked(series: dict[str, dict[float, float]]) -> dict[str, dict[float, float]]:
    """Return the values of each step by rank: of equal series topk may take any."""
    steps: dict[float, list[float]] = {}
    for values in series.values():
        for when, value in values.items():
            steps.setdefault(when, []).append(value)
    return {
        str(rank): {when: sorted(values)[rank] for when, values in steps.items() if rank < len(values)}
        for rank in range(max(map(len, steps.values()), default=0))
    }


def check(data: Data, cached: Client, cold: Client, peer: Client | None, now: int) -> list[str]:
    """Return what is wrong with the answers at one time."""
    wrong = []
    for panel in PANELS:
        asked = panel.range(now)
        plain = cold.get("/api/v1/query_range", **asked)
        for _ in range(2):
            if cached.get("/api/v1/query_range", **asked) != plain:
                wrong.append(f"{panel.name}: cached is not uncached")
        if peer is not None and panel.raw:
            ties = panel.query.startswith(("topk", "bottomk"))
            if found := differences(plain, peer.get("/api/v1/query_range", **asked), ties):
                wrong.append(f"{panel.name}: not as Prometheus: {found}")
        if not series_of(plain):
            wrong.append(f"{panel.name}: an empty answer")
    # Whole hours, of raw time and of the time before it; the values are whole, so their sums are exact.
    end = now // HOUR_MS * HOUR_MS
    span = {"start": str((end - 29 * 24 * HOUR_MS) / 1000), "end": str(end / 1000), "step": "3600"}
    body = cold.get("/api/v1/query_range", query=f'sum(sum_over_time(node_load1{{host="{panels.HOST}"}}[1h]))', **span)
    (got,) = series_of(body).values()
    place = [(one.name, one.labels) for one in data.series].index(("node_load1", (("host", panels.HOST),)))
    stamps = np.concatenate([data.old_stamps, data.stamps])
    values = np.concatenate([data.old_values[:, place], data.values[:, place]])
    ends = np.array([round(at * 1000) for at in got])
    bounds = np.searchsorted(stamps, np.stack([ends - HOUR_MS, ends]), side="right")
    sums = [values[low:high].sum() for low, high in bounds.T]
    if len(got) != 29 * 24 + 1 or list(got.values()) != sums:
        wrong.append("sums of hours are not numpy's")
    return wrong


def at(times: Sequence[float], percent: float) -> float:
    """Return a percentile, ms."""
    return float(np.percentile(times, percent))


def table(found: dict[str, Times]) -> str:
    """Return p50 and p99 of every panel and of all, a column a way of asking."""
    names = list(found)
    widths = [max(18, len(name) + 2) for name in names]

    def line(title: str, cells: Sequence[str]) -> str:
        return f"{title:<24}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))

    lines = [line("ms, p50 / p99", names)]
    for panel in [panel.name for panel in PANELS]:
        cells = [found[name].get(panel) for name in names]
        shown = ["-" if times is None else f"{at(times, 50):.1f} / {at(times, 99):.1f}" for times in cells]
        lines.append(line(panel, shown))
    pooled = [[ms for times in found[name].values() for ms in times] for name in names]
    lines.append(line("all", [f"{at(ms, 50):.1f} / {at(ms, 99):.1f}" for ms in pooled]))
    return "\n".join(lines)


def with_writes(endpoint: str, runs: int, arriving: Callable[[], AbstractContextManager[None]]) -> Times:
    """Return the same while data arrive."""
    with arriving():
        return one_by_one(endpoint, runs)


def measure(
    cold: str,
    cached: str,
    peer: str | None,
    arriving: Callable[[], AbstractContextManager[None]],
    runs: int,
    progress: Progress,
) -> tuple[dict[str, Times], Times]:
    """Return the times of the ten panels by way of asking, and those of the wide one by service."""
    raw = [panel for panel in PANELS if panel.raw]
    ways: dict[str, Callable[[], Times]] = {
        "cold": lambda: one_by_one(cold, max(3, runs // 4)),
        "cached": lambda: again(cached, runs),
        "refreshed": lambda: refreshed(cached, runs),
        "cached, writes": lambda: with_writes(cached, runs, arriving),
        f"cached, {AT_ONCE} at once": lambda: at_once(cached, max(3, runs // 2)),
    }
    if peer is not None:
        beside = peer
        ways["Prometheus"] = lambda: one_by_one(beside, max(3, runs // 4), raw)
        ways[f"Prometheus, {AT_ONCE} at once"] = lambda: at_once(beside, max(3, runs // 8), raw)
    for endpoint in (cold, cached, *([] if peer is None else [peer])):
        one_by_one(endpoint, 2, PANELS if endpoint != peer else raw)
    found = {}
    for name, way in ways.items():
        progress.say(f"asking: {name}")
        found[name] = way()
    wide = {
        name: one_by_one(endpoint, 3, [WIDE])[WIDE.name]
        for name, endpoint in (("cold", cold), ("cached", cached), ("Prometheus", peer))
        if endpoint is not None
    }
    return found, wide


def bars(found: dict[str, Times]) -> list[str]:
    """Return the bars that are missed."""
    missed = []
    cached = at([ms for times in found["cached"].values() for ms in times], 99)
    if cached > CACHED_MS:
        missed.append(f"cached p99 {cached:.1f} ms, the bar is {CACHED_MS:g}")
    month = statistics.median(found["cold"][MONTH.name])
    if month > MONTH_MS:
        missed.append(f"30 days of one host from the 1h tier {month:.1f} ms, the bar is {MONTH_MS:g}")
    if "Prometheus" in found:
        ours, theirs = (statistics.median(found[name][FINE.name]) for name in ("cold", "Prometheus"))
        if ours > theirs:
            missed.append(f"2,000 series at 15 s {ours:.1f} ms, Prometheus {theirs:.1f}")
    return missed


def run(options: argparse.Namespace, home: Path, stack: ExitStack, progress: Progress) -> dict[str, Any]:
    """Fill the stores and measure."""
    begun = time.monotonic()
    end = now_ms() // MINUTE_MS * MINUTE_MS + AHEAD_MS
    data = panels.data(TENANT, int(options.samples * 1e6), end)
    peer = stack.enter_context(prometheus.server(home))
    if peer is not None:
        prometheus.write(peer, data, progress)
    _, clickhouse_at = stack.enter_context(clickhouse_server(str(home / "clickhouse")))
    apply(clickhouse_at, "default", "", DATABASE)
    clickhouse = Clickhouse(clickhouse_at, database=DATABASE)
    stack.callback(clickhouse.close)
    fill.samples(clickhouse, data, progress)
    fill.tiers(clickhouse, data, now_ms() // MINUTE_MS * MINUTE_MS, progress)
    fill.closed(clickhouse, data, now_ms() - MINUTE_MS)
    progress.say(f"{data.values.size:,} samples of {len(data.series):,} series in {time.monotonic() - begun:.0f} s")
    redis = stack.enter_context(redis_server(home))
    cold = stack.enter_context(query_service(clickhouse_at, "", home))
    cached = stack.enter_context(query_service(clickhouse_at, redis, home))
    if options.serve:
        input(f"cold {cold}, cached {cached}, clickhouse {clickhouse_at}, prometheus {peer}; Enter ends\n")
    reference = cpu_seconds()
    found, wide = measure(cold, cached, peer, lambda: fill.arriving(clickhouse, data), options.runs, progress)
    print(table(found), flush=True)
    wrong = check(data, Client(cached), Client(cold), None if peer is None else Client(peer), now_ms())
    if now_ms() > end:
        wrong.append(f"the run took longer than the {AHEAD_MS // MINUTE_MS} minutes that there are data for")
    return {
        "samples": data.values.size,
        "series": len(data.series),
        "reference_cpu_s": round(reference, 3),
        "prometheus": "skipped: neither on PATH nor in $PEERS" if peer is None else prometheus.version(),
        "ms": found,
        "wide_ms": wide,
        "missed": bars(found),
        "wrong": wrong,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; 1 if a bar is missed or an answer is wrong."""
    parser = argparse.ArgumentParser(prog="python -m bench.query", description=__doc__)
    parser.add_argument(
        "--samples", type=program.millions, default=20, metavar="N", help="millions of raw samples; default 20"
    )
    parser.add_argument(
        "--runs", type=whole(1, 10_000), default=20, help="how often each panel is asked from the cache; default 20"
    )
    parser.add_argument("--serve", action="store_true", help="wait before measuring, with everything up")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args(argv)
    with program.folder("query") as home, ExitStack() as stack:
        figures = run(options, home, stack, Progress())
    wide = ", ".join(f"{name} {statistics.median(ms):.0f} ms" for name, ms in figures["wide_ms"].items())
    print(f"{WIDE.name}: {wide}")
    print(f"reference {figures['reference_cpu_s']:.2f} CPU s; Prometheus {figures['prometheus']}")
    print("\n".join(figures["missed"]) or "all bars are met")
    print("\n".join(figures["wrong"]) or "all answers are right")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))
    return 1 if figures["missed"] or figures["wrong"] else 0


if __name__ == "__main__":
    program.run(main)
