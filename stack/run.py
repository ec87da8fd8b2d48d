"""tidegauge run: the whole path from one command, with live answers at its end."""

import json
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from sinks import direct
from stack import plan, ports
from stack.home import ROOT, Home
from stack.up import StackError, up

WITHIN_S = 120.0


@dataclass(frozen=True, slots=True)
class Example:
    """One query for people: what it shows, how to ask by hand, and what asks: empty if there is no answer yet."""

    title: str
    command: str
    ask: Callable[[], str]


def _get(url: str, data: bytes | None = None) -> str:
    try:
        with direct.urlopen(url, data=data, timeout=10) as response:
            return str(response.read().decode())
    except (OSError, HTTPException) as error:
        return f"(no answer: {error})"


def promql(address: str, query: str) -> str:
    """Return the answer of an instant query, one line a series; empty if there is none."""
    body = _get(f"http://{address}/api/v1/query?{urllib.parse.urlencode({'query': query})}")
    if not body.startswith("{"):
        return ""
    result = json.loads(body).get("data", {}).get("result", [])
    return "\n".join(f"{json.dumps(one['metric'])}  {one['value'][1]}" for one in result)


def sql(address: str, statement: str) -> str:
    """Return the answer of a statement as tab-separated lines; empty if there is none."""
    body = _get(f"http://{address}/?database=tidegauge", statement.encode())
    return "" if body.startswith("(") else body.rstrip("\n")


def examples(endpoints: dict[str, str]) -> list[Example]:
    """Return the three examples: PromQL over samples, percentiles by SQL over rollups, alert events."""
    load = "sum by (mode) (rate(node_cpu_seconds_total[1m])) > 0.01"
    rollup = (
        "SELECT name, quantilesTDigestMerge(0.5, 0.95, 0.99)(digest) AS percentiles, sum(count) AS samples "
        "FROM v_rollup_1m WHERE name = 'node_load1' AND time >= now() - INTERVAL 1 HOUR GROUP BY name"
    )
    alerts = "SELECT time, alert, state, labels FROM v_alerts ORDER BY time DESC LIMIT 3"
    query, clickhouse = endpoints["query"], endpoints["clickhouse"]
    by_curl = f"curl -s 'http://{clickhouse}/?database=tidegauge' -d \"{{}}\""
    return [
        Example(
            "CPU seconds a second by mode, PromQL over the samples",
            f"curl -s http://{query}/api/v1/query --data-urlencode 'query={load}'",
            lambda: promql(query, load),
        ),
        Example(
            "percentiles of the load from the digests of the 1-minute rollups, SQL",
            by_curl.format(rollup),
            lambda: sql(clickhouse, rollup),
        ),
        Example("the newest alert events, SQL", by_curl.format(alerts), lambda: sql(clickhouse, alerts)),
    ]


def apply_rules(endpoints: dict[str, str], file: Path) -> None:
    """Put the example rules in force; raises StackError if they are refused."""
    import os

    from load.rules import main

    os.environ["TIDEGAUGE_KAFKA"] = endpoints["kafka"]
    if main(["apply", str(file)]):
        raise StackError(f"TG-rules {file} was not applied, see above")


def wait(title: str, ask: Callable[[], str], deadline: float) -> str:
    """Return the first answer that is not empty, showing that it is waited for; empty after the deadline."""
    began = time.monotonic()
    while True:
        answer = ask()
        waited = time.monotonic() - began
        if answer or time.monotonic() > deadline:
            print(f"  {waited:5.1f} s  {title}: {'there' if answer else 'not yet'}", flush=True)
            return answer
        if int(waited) % 10 == 9:
            print(f"  {waited:5.1f} s  waiting for {title}", flush=True)
        time.sleep(1.0)


def run(home: Home, port_text: str | None) -> None:
    """Start or refresh the stack with its agent, wait for the far end, print answers. Raises StackError."""
    up(home, port_text, off=(), detached=True)
    endpoints = plan.endpoints(ports.load(home))
    apply_rules(endpoints, ROOT / "flink-conf" / "rules.yaml")
    deadline = time.monotonic() + WITHIN_S
    print("waiting for samples at the far end", flush=True)
    answers = [(one, wait(one.title.partition(",")[0], one.ask, deadline)) for one in examples(endpoints)]
    print(f"\nquery       http://{endpoints['query']}/api/v1/query   (Prometheus's API: a Grafana data source)")
    print(f"ClickHouse  http://{endpoints['clickhouse']}/")
    print(f"Flink       http://{endpoints['flink']}/")
    for one, answer in answers:
        print(f"\n# {one.title}\n{one.command}\n{answer or '(nothing yet: ask again in a minute)'}")
    print("\nstatus: make status      logs: .venv/bin/tidegauge logs NAME      stop: make stop", flush=True)
    if not answers[0][1]:
        raise StackError(f"TG-run no samples came out within {WITHIN_S:.0f} s; `tidegauge logs agent` may say why")
