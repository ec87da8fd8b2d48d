"""A ClickHouse that hangs is told from one that is slow, and the cache answers for it."""

import socket
import threading
from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest

from query.app import build
from query.clickhouse import ClickhouseStore
from query.errors import QueryError
from query.pulse import HOLD_S, Pulse, answers
from query.settings import QuerySettings
from query.source import Limits
from query.tenants import OpenTenants
from sinks.clickhouse import Clickhouse
from sinks.ddl import apply
from tests import embedded
from tests.query.client import Client, ask
from tests.query.test_guarantee import DictCache
from tests.query.test_store import H, M, raised, write

START = 1_714_608_000_000
NOW = START + 3 * H
DATABASE = "pulse_test"
LIMITS = Limits(series=1000, samples=100_000, cells=1_000_000, timeout_s=60)


@pytest.fixture
def silent() -> Iterator[str]:
    """host:port that takes connections and says nothing, as a process that is stopped does."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as one:
        yield f"127.0.0.1:{one.getsockname()[1]}"


def pulse_of(endpoint: str) -> Pulse:
    probe = Clickhouse(endpoint, attempts=1, timeout_s=1)
    return Pulse(partial(answers, probe), lambda: 0.0, patience_s=0.0)


def test_who_answers_the_probe_is_waited_for_however_long_it_takes() -> None:
    asked, free = [0], threading.Event()

    def probe() -> bool:
        asked[0] += 1
        if asked[0] == 3:
            free.set()
        return True

    assert Pulse(probe, lambda: 0.0, 0.0).run(lambda: free.wait(60), 60)
    assert asked[0] >= 3


def test_who_does_not_is_probed_again_before_anything_else_is_asked() -> None:
    now, told, free = [0.0], [True, False, False, True], threading.Event()
    pulse = Pulse(lambda: told.pop(0) if told else True, lambda: now[0], 0.0)
    sent = []

    def asked() -> int:
        sent.append(now[0])
        return 7

    with pytest.raises(QueryError, match="does not answer"):
        pulse.run(lambda: free.wait(60), 60)
    for at, left in ((0.0, 2), (HOLD_S - 1, 2), (HOLD_S, 1), (2 * HOLD_S - 1, 1)):
        now[0] = at
        with pytest.raises(QueryError, match="does not answer"):
            pulse.run(asked, 60)
        assert (sent, len(told)) == ([], left), at
    now[0] = 2 * HOLD_S
    assert (pulse.run(asked, 60), sent) == (7, [now[0]])
    free.set()


def test_a_timeout_of_the_call_itself_is_its_own() -> None:
    def late() -> int:
        raise TimeoutError("the call's own")

    with pytest.raises(TimeoutError, match="the call's own"):
        Pulse(lambda: True, lambda: 0.0, 0.1).run(late, 60)


def test_a_refusal_is_an_answer_and_a_closed_port_is_none(silent: str) -> None:
    stranger = Clickhouse(embedded.endpoint(), user="nobody", password="x", attempts=1)
    assert answers(stranger)
    assert not answers(Clickhouse(silent, attempts=1, timeout_s=1))
    with socket.create_server(("127.0.0.1", 0)) as one:
        closed = f"127.0.0.1:{one.getsockname()[1]}"
    assert not answers(Clickhouse(closed, attempts=1, timeout_s=1))


def test_the_cache_answers_for_a_server_that_hangs(silent: str) -> None:
    apply(embedded.endpoint(), "default", "", DATABASE)
    there = Clickhouse(embedded.endpoint(), database=DATABASE)
    stamps = np.arange(START, START + 3 * H, M)
    write(there, "default", [({"__name__": "m"}, stamps, np.arange(len(stamps), dtype=np.float64))])
    raised(there, "m", START, 1)
    hangs = Clickhouse(silent, attempts=1, timeout_s=60)
    cache = DictCache()
    params = {"query": "m", "start": START / 1000 + 60, "end": START / 1000 + 7200, "step": 60}

    def asked(clickhouse: Clickhouse) -> tuple[int, dict[str, object]]:
        store = ClickhouseStore(clickhouse, LIMITS, pulse=pulse_of(clickhouse.endpoint))
        settings = QuerySettings(query_timeout_s=45)
        with Client(build(settings, store, cache, OpenTenants("default"), lambda: NOW)) as api:
            status, body = ask(api, "/api/v1/query_range", **params)
            assert ask(api, "/api/v1/query", query="m")[0] == (200 if clickhouse is there else 503)
            return status, body

    status, fresh = asked(there)
    assert status == 200 and "warnings" not in fresh
    status, stale = asked(hangs)
    assert (status, stale.get("data")) == (200, fresh["data"])
    assert "[TG-query-stale]" in str(stale["warnings"])
    there.close()
