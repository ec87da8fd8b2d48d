"""One round: read the machine, scrape the targets, one batch for each."""

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from agent.endpoint import of_endpoint
from agent.groups import JOB, GroupReader
from agent.largest import Largest
from agent.node import node_samples
from agent.own import own_samples
from agent.reading import read
from agent.rows import Rows
from agent.scraper import Scraper
from agent.settings import Settings
from schemas.batch import Batch

log = logging.getLogger("tidegauge.agent")


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
                settings.agent_scrape_timeout_s,
                settings.agent_scrape_bytes,
                settings.agent_scrape_samples,
            )
            for target in settings.agent_scrape
        ]
        self._groups: GroupReader | None = None
        if settings.agent_groups:
            self._groups = GroupReader(settings.kafka, settings.agent_groups, settings.agent_scrape_timeout_s)
            self.scrapers.append(Scraper(JOB, self._groups.instance, self._groups.where, self._groups.read))
        self._rows = [
            Rows(settings.agent_tenant, f"{settings.agent_source}/{one.job}/{one.instance}") for one in self.scrapers
        ]
        self._pool = ThreadPoolExecutor(max_workers=max(1, min(8, len(self.scrapers))), thread_name_prefix="scrape")
        self._failed: Mapping[str, str] = {}
        self.skipped = 0

    def batches(self, at_ms: int, sent_at: int) -> list[Batch]:
        """Return the batches of the machine and of each target, every sample at `at_ms`."""
        pending = [self._pool.submit(scraper.scrape) for scraper in self.scrapers]
        reading = read()
        self._tell(reading.failed)
        shown = self._largest.pick(reading.processes)
        source = self._settings.agent_source
        own = self._delivered() | {
            "agent_rounds_skipped_total": float(self.skipped),
            "agent_scrapes_failed_total": float(sum(scraper.failed for scraper in self.scrapers)),
        }
        machine = [*node_samples(reading, shown, source, at_ms), *own_samples(own, source)]
        batches = self._host.batches(at_ms, machine, sent_at)
        for rows, future in zip(self._rows, pending, strict=True):
            batches += rows.batches(at_ms, future.result(), sent_at)
        return batches

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
