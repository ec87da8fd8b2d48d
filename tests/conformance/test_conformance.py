"""Prometheus 3.5.3's own tests against the query service as a process, over data loaded by `tidegauge load`.

divergences.txt lists what may fail, and why. The corpus lies in ../shared/conformance, or where CONFORMANCE
says; without it these tests are skipped.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from schemas.retention import Policy
from sinks import ddl, retention
from sinks.clickhouse import Clickhouse
from stack.ports import free_ports
from tests import embedded
from tests.conformance.corpus import BASELINE, LEDGER, Corpus, baseline, judged, ledger

DATABASE = "conformance"
# The corpus is of 1970.
KEEP = dict.fromkeys(("raw", "1m", "5m", "1h", "1d"), "forever")
POLICY = Policy.model_validate({"classes": {"standard": {}, "kept": KEEP}, "tenants": {"conformance-*": "kept"}})
CASES = baseline()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TIDEGAUGE_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "query"],
        env=clean
        | {
            "TIDEGAUGE_QUERY": address,
            "TIDEGAUGE_CLICKHOUSE": embedded.endpoint(),
            "TIDEGAUGE_CLICKHOUSE_USER": embedded.VIEWER[0],
            "TIDEGAUGE_CLICKHOUSE_PASSWORD": embedded.VIEWER[1],
            "TIDEGAUGE_CLICKHOUSE_DATABASE": DATABASE,
            "TIDEGAUGE_REDIS": "",
        },
    )
    try:
        for _ in range(300):
            try:
                httpx.get(f"http://{address}/-/healthy")
                break
            except httpx.ConnectError:
                time.sleep(0.1)
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture(scope="module")
def corpus(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corpus]:
    ddl.apply(embedded.endpoint(), "default", "", DATABASE)
    clickhouse = Clickhouse(embedded.endpoint(), database=DATABASE)
    retention.apply(clickhouse, POLICY)
    yield Corpus(url, clickhouse, tmp_path_factory.mktemp("segments"))
    clickhouse.close()


@pytest.mark.skipif(not CASES, reason=f"the corpus is not here: {BASELINE} (CONFORMANCE)")
@pytest.mark.parametrize("name", sorted(CASES) or ["none"])
def test_prometheus_answers(corpus: Corpus, name: str) -> None:
    listed = {case: why for case, why in ledger(LEDGER.read_text()).items() if case[0].startswith(f"{name}:")}
    wrong = judged(corpus.failed(name), listed)
    assert not wrong, "\n".join(wrong)


@pytest.mark.skipif(not CASES, reason=f"the corpus is not here: {BASELINE} (CONFORMANCE)")
def test_the_corpus_is_whole_and_the_ledger_names_nothing_else() -> None:
    places = set().union(*CASES.values())
    assert len(places) == 800
    assert {place for place, _ in ledger(LEDGER.read_text())} <= places


def test_an_unlisted_failure_is_wrong_and_so_is_a_listed_one_that_passes() -> None:
    failed = {("a.test:1", "eval"): "up: 1, expected 2", ("a.test:2", "eval"): "down: missing"}
    listed = ledger("# why\na.test:2 eval order of ties\n\na.test:2 range order of ties\n")
    assert judged(failed, listed) == [
        "a.test:1 eval up: 1, expected 2",
        "a.test:2 range passes and is listed",
    ]


def test_the_ledger_refuses_what_it_cannot_mean() -> None:
    with pytest.raises(AssertionError, match="twice"):
        ledger("a:1 eval x\na:1 eval y\n")
    with pytest.raises(AssertionError, match="no such kind"):
        ledger("a:1 maybe x\n")


def test_no_file_of_the_corpus_is_in_the_project() -> None:
    assert not list(Path(__file__).parent.glob("*.test"))
