"""Which alerts still stand: what was written last, against what the alert job has said since."""

import json

import pytest

from promql.memory import MemorySource
from query.app import build
from query.cache import NoCache
from query.errors import refused
from query.memory import MemoryStore
from query.settings import QuerySettings
from query.standing import standing
from query.store import Alert
from query.tenants import OpenTenants
from query.view import EVERYTHING, View
from tests.query.client import Client, ask

M = 60_000
DAY = 1_440 * M
NOW = 1_714_608_000_000
FAILURES = "tidegauge_rule_evaluation_failures_total"
DOWN = {"alertname": "Down", "i": "0"}

# Minutes before now. `firing@20`: entered then; `said 20-3`: recorded at each minute of these in that state;
# `told 30-1`: the key told that it was judged, in bucket 0 unless another is named, `x`: and had failed once more.
STAND = """
# the usual: it fires, and is said to
firing@20 | said firing 20-0 | told 30-0 -> firing
# entered between two checkpoints, the job came back from the older one, the rule being another
firing@20 | said firing 20-20 | told 30-0 -> -
pending@20 | said pending 20-20 | told 30-0 -> -
firing@20 | said firing 20-6 | told 30-0 -> firing
firing@20 | said firing 20-7 | told 30-0 -> -
# days ago, and samples of then are gone
firing@5000 | said firing 5000-5000 | told 30-0 -> -
# it may yet be said: a receiver would wait too
firing@4 | said firing 4-4 | told 30-0 -> firing
# the job is down, was down until now, is behind by ten minutes, by an hour
firing@20 | said firing 20-15 | told 30-15 -> firing
firing@20 | said firing 20-15 | told 30-15 | told 1-0 -> firing
firing@30 | said firing 30-10 | told 30-10 -> firing
firing@90 | said firing 90-60 | told 90-60 -> firing
firing@20 | said firing 20-20 -> firing
# not recorded at all: the gate may have refused it; recorded for an earlier firing only
firing@20 | told 30-0 -> firing
firing@20 | said firing 200-190 | told 30-0 -> firing
# each key of the rule has been judged; one that stands still may be the one
firing@20 | said firing 20-20 | told 30-0 | told 30-0 1 -> -
firing@20 | said firing 20-20 | told 30-0 | told 30-15 1 -> firing
# a failing rule's alerts stay as they were, unsaid, and so for a while behind it
firing@20 | said firing 20-20 | told x 30-0 -> firing
firing@20 | said firing 20-20 | told x 30-3 | told 2-0 -> firing
firing@20 | said firing 20-20 | told x 30-8 | told 7-0 -> -
# a paused rule's too; it tells nothing, but for its other key
firing@20 | said firing 20-20 | told 30-20 | RulePaused@20 -> firing RulePaused
firing@50 | said firing 50-50 | told 30-0 1 | RulePaused@50 -> firing RulePaused
firing@20 | said firing 20-20 | told 30-0 | RulePaused@20 -> -
# the trouble itself was never ended
RuleFailing@20 | told x 30-0 -> RuleFailing
RuleFailing@20 | told x 30-18 | told 17-0 -> -
RuleFailing@20 | told 30-0 1 -> RuleFailing
# the other state is what is recorded: an edit made `for` longer, or shorter
firing@20 | said firing 20-20 | said pending 21-0 | told 30-0 -> pending
pending@20 | said pending 20-20 | said firing 21-0 | told 30-0 -> firing
firing@20 | said firing 20-20 | said pending 21-19 | told 30-0 -> -
# a rule that sees no series now, or is gone, tells nothing: others do, if its ticks are not too far apart
firing@20 | said firing 20-20 | told other 30-0 -> -
firing@20 | said firing 20-20 | told other 30-0 | gone -> -
firing@20 | said firing 20-20 | told other 30-16 -> firing
firing@20 | said firing 20-20 | told other 30-0 | interval_s 900 -> firing
RuleFailing@20 | told other 30-0 -> RuleFailing
RuleFailing@20 | told other 30-0 | gone -> -
# seldom judged, or at an offset: it is said and judged as seldom, and holds for longer
firing@17 | said firing 17-17 | told 30-0 | interval_s 240 -> firing
firing@19 | said firing 19-19 | told 30-0 | interval_s 240 -> -
firing@17 | said firing 17-17 | told 30-0 | query_offset_s 720 -> firing
"""
LINES = [line for line in STAND.strip().splitlines() if not line.startswith("#")]


def world(line: str) -> tuple[MemoryStore, list[str]]:
    """Return what a line says, and which alerts should stand: states of Down's, names of others."""
    given, _, wanted = line.partition(" -> ")
    store, rule, failed = MemoryStore(), {"interval_s": 15}, 0
    store.active["t"], store.applied["t"] = [], [("g/Other", "{}")]
    for word, *more in (part.split() for part in given.split(" | ")):
        state, _, minutes = word.partition("@")
        if minutes:
            at, own = NOW - int(minutes) * M, state in ("firing", "pending")
            labels = DOWN if own else {"alertname": state, "bucket": "0", "rule": "g/Down"}
            entered = Alert("g/Down", labels["alertname"], state if own else "firing", labels, {}, 1.0, at, at)
            store.active["t"].append(entered)
        elif word == "said":
            recorded(store, {"__name__": "ALERTS", "alertstate": more[0], **DOWN}, more[1], None)
        elif word == "told":
            about = "g/Other" if "other" in more else "g/Down"
            span = next(one for one in more if "-" in one)
            bucket = more[-1] if more[-1] != span else "0"
            failed = recorded(store, {"__name__": FAILURES, "rule": about, "bucket": bucket}, span, failed, "x" in more)
        elif word != "gone":
            rule[word] = int(more[0])
    if "gone" not in given:
        store.applied["t"].append(("g/Down", json.dumps(rule)))
    return store, [one for one in wanted.split() if one != "-"]


def recorded(store: MemoryStore, labels: dict[str, str], span: str, count: int | None, failing: bool = False) -> int:
    first, last = map(int, span.split("-"))
    value = count or 0
    for minute in range(first, last - 1, -1):
        value += failing
        at = NOW - minute * M
        store.write("t", labels, [(at, 1.0 if count is None else float(value))], at)
    return value


@pytest.mark.parametrize("line", LINES)
def test_what_stands(line: str) -> None:
    store, wanted = world(line)
    found = standing(store, "t", store.active["t"], NOW)
    assert [one.state if one.name == "Down" else one.name for one in found] == wanted


def test_what_is_stored_in_any_order_behind_an_outage_hides_nothing() -> None:
    store, _ = world("firing@30 | said firing 30-20 | told 30-20 -> firing")
    # Judged all at once, and ALERTS is still on its way.
    for minute in range(19, -1, -1):
        store.write("t", {"__name__": FAILURES, "rule": "g/Down", "bucket": "0"}, [(NOW - minute * M, 0.0)], NOW)
    assert standing(store, "t", store.active["t"], NOW) == store.active["t"]
    # A minute later it would be there.
    assert standing(store, "t", store.active["t"], NOW + M) == []


class TooMany(MemoryStore):
    def source(self, tenant: str, steps: int, view: View = EVERYTHING) -> MemorySource:
        raise refused("TG-query-series", "too many series")


def test_both_endpoints_show_what_stands() -> None:
    for line, states in ((LINES[0], ["firing"]), (LINES[1], [])):
        store, _ = world(line)
        store.applied["t"] = [("g/Down", json.dumps({"alert": "Down", "expr": "up == 0", "interval_s": 15}))]
        with Client(build(QuerySettings(), store, NoCache(), OpenTenants("t"), lambda: NOW)) as api:
            alerts, rules = (ask(api, f"/api/v1/{path}")[1]["data"] for path in ("alerts", "rules"))
        assert [one["state"] for one in alerts["alerts"]] == states
        (down,) = rules["groups"][0]["rules"]
        assert (down["state"], len(down["alerts"])) == (states[0] if states else "inactive", len(states))


def test_where_it_cannot_be_told_all_is_shown_and_said_to_be() -> None:
    store = TooMany()
    store.active["t"] = [Alert("g/Down", "Down", "firing", DOWN, {}, 1.0, NOW - DAY, NOW - DAY)]
    with Client(build(QuerySettings(), store, NoCache(), OpenTenants("t"), lambda: NOW)) as api:
        _, body = ask(api, "/api/v1/alerts")
    assert [one["state"] for one in body["data"]["alerts"]] == ["firing"]
    assert "TG-query-series" in body["warnings"][0]
