"""One round: read the machine, scrape the targets, one batch for each."""

import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from time import monotonic

from agent.endpoint import of_endpoint
from agent.groups import JOB, GroupReader
from agent.largest import Largest
from agent.node import node_samples
from agent.own import own_samples
from agent.reading import read
from agent.rows import Rows
from agent.scraper import Samples, Scraper
from agent.settings import Settings
from schemas.batch import Batch

log = logging.getLogger("tidegauge.agent")

_THREADS = 64
_GRACE_S = 0.5  # beyond the time of a scrape, which ends by itself; looking up a name does not


def aligned(now_ms: int, interval_ms: int) -> int:
    """Return the last multiple of the interval at or before now."""
    return now_ms - now_ms % interval_ms


def following(at_ms: int, now_ms: int, interval_ms: int) -> int:
    """Return when the round behind that of `at` is due: rounds that are over are left out.

    Where the clock was set back by an interval or more, it is the next by the clock as it is now: otherwise the agent
    would be silent until the clock has come up again.
    """
    last = aligned(now_ms, interval_ms)
    return last + interval_ms if now_ms <= at_ms - interval_ms else max(at_ms + interval_ms, last)


def begun(due_ms: int, now_ms: int, interval_ms: int) -> int:
    """Return the time of a round that was due, once it has been waited for: another if the clock was set back."""
    return aligned(now_ms, interval_ms) if now_ms <= due_ms - interval_ms else due_ms


class Rounds:
    """Makes the batches of a round. `delivered` gives the sender's part of own.METRICS."""

    def __init__(self, settings: Settings, delivered: Callable[[], dict[str, float]]) -> None:
        self._settings = settings
        self._delivered = delivered
        self._largest = Largest(settings.agent_processes)
        self._host = Rows(settings.agent_tenant, settings.agent_source)
        self.scrapers = [
            of_endpoint(
                target,
                settings.scrape_s,
                settings.agent_scrape_bytes,
                settings.agent_scrape_samples,
            )
            for target in settings.agent_scrape
        ]
        self._groups: GroupReader | None = None
        if settings.agent_groups:
            self._groups = GroupReader(settings.kafka, settings.agent_groups, settings.scrape_s)
            self.scrapers.append(Scraper(JOB, self._groups.instance, self._groups.where, self._groups.read))
        self._rows = [
            Rows(settings.agent_tenant, f"{settings.agent_source}/{one.job}/{one.instance}") for one in self.scrapers
        ]
        self._pool = ThreadPoolExecutor(
            max_workers=max(1, min(_THREADS, len(self.scrapers))), thread_name_prefix="scrape"
        )
        self._pending: list[Future[Samples] | None] = [None] * len(self.scrapers)
        self._failed: Mapping[str, str] = {}
        self.skipped = 0

    def batches(self, at_ms: int, sent_at: int) -> Iterator[Batch]:
        """Yield the batches of the machine, then of each target, every sample at `at_ms`.

        A target has as long as a scrape may take. One that is not over then is told as down and not asked again until
        it is: neither the machine nor the other targets wait for it.
        """
        began = monotonic()
        running = [one is not None and not one.done() for one in self._pending]
        for place, scraper in enumerate(self.scrapers):
            if not running[place]:
                self._pending[place] = self._pool.submit(scraper.scrape)
        yield from self._host.batches(at_ms, self._machine(at_ms), sent_at)
        for place, (rows, scraper) in enumerate(zip(self._rows, self.scrapers, strict=True)):
            samples = self._answer(place, began) if not running[place] else None
            yield from rows.batches(at_ms, samples or scraper.unanswered(monotonic() - began), sent_at)

    def _answer(self, place: int, began: float) -> Samples | None:
        pending = self._pending[place]
        assert pending is not None
        patience = min(self._settings.scrape_s + _GRACE_S, 0.9 * self._settings.agent_interval_s)
        left = began + patience - monotonic()
        try:
            return pending.result(max(0.0, left))
        except TimeoutError:
            return None

    def _machine(self, at_ms: int) -> Samples:
        reading = read()
        self._tell(reading.failed)
        shown = self._largest.pick(reading.processes)
        source = self._settings.agent_source
        own = self._delivered() | {
            "agent_rounds_skipped_total": float(self.skipped),
            "agent_scrapes_failed_total": float(sum(scraper.failed for scraper in self.scrapers)),
        }
        return [*node_samples(reading, shown, source, at_ms), *own_samples(own, source)]

    def _tell(self, failed: Mapping[str, str]) -> None:
        for collector in sorted(failed.keys() - self._failed.keys()):
            log.error("TG-agent-collector: %s could not be read: %s", collector, failed[collector])
        for collector in sorted(self._failed.keys() - failed.keys()):
            log.info("%s can be read again", collector)
        self._failed = failed

    def close(self) -> None:
        """End the scraping threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._groups is not None:
            self._groups.close()
