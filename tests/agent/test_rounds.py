"""What one round does with targets that do not answer."""

import socket
from threading import Event

import pytest

from agent.own import METRICS
from agent.rounds import Rounds
from agent.settings import Settings
from agent.target import Target
from schemas.batch import Batch, decode_series_set


def up(batch: Batch) -> float:
    names = [series.name for series in decode_series_set(batch.series_set)]
    return float(batch.values[0, names.index("up")])


def rounds(urls: list[str], timeout_s: float) -> Rounds:
    settings = Settings(
        agent_source="h",
        agent_scrape=tuple(Target.parse(url) for url in urls),
        agent_scrape_timeout_s=timeout_s,
    )
    return Rounds(settings, lambda: dict.fromkeys(METRICS, 0.0))


def test_targets_that_hang_are_asked_side_by_side() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as hung:
        port = hung.getsockname()[1]
        made = rounds([f"http://127.0.0.1:{port}/{n}" for n in range(20)], timeout_s=3.0)
        host, *targets = made.batches(0, 0)
        made.close()
    assert host.source == "h"
    assert [up(batch) for batch in targets] == [0.0] * 20
    # Those that had waited for a thread would have been given up before they were asked.
    assert {scraper.failed for scraper in made.scrapers} == {1}


def test_a_name_that_is_looked_up_for_ever_holds_up_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, found = [], Event()

    def slow(host: str, *_: object, **__: object) -> list[object]:
        asked.append(host)
        found.wait(30)
        raise socket.gaierror(socket.EAI_AGAIN, "no answer")

    monkeypatch.setattr("socket.getaddrinfo", slow)
    made = rounds(["http://nowhere.example:9100/metrics"], timeout_s=0.1)
    for _ in range(2):
        host, target = made.batches(0, 0)
        assert (host.source, up(target)) == ("h", 0.0)
    assert asked == ["nowhere.example"]  # once: the first is not over
    found.set()
    made.close()


@pytest.mark.parametrize(
    ("interval_s", "timeout_s", "scrape_s"), [(10, 5.0, 5.0), (10, 60.0, 7.5), (1, 5.0, 0.75), (1, 0.5, 0.5)]
)
def test_no_scrape_outlasts_its_round(interval_s: int, timeout_s: float, scrape_s: float) -> None:
    """At an interval of 1 s one target that hung cost the machine and all others four rounds of five."""
    settings = Settings(agent_interval_s=interval_s, agent_scrape_timeout_s=timeout_s)
    assert settings.scrape_s == scrape_s


def test_a_host_that_is_none_costs_no_other() -> None:
    made = rounds(["http://node..example:9100/metrics"], timeout_s=1.0)
    host, target = made.batches(0, 0)
    made.close()
    assert (host.source, up(target)) == ("h", 0.0)
