"""One round: read the machine, scrape the targets, one batch for each."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import monotonic

from agent.exposition import Exposition
from agent.fetch import ScrapeError, fetch
from agent.largest import Largest
from agent.node import node_samples
from agent.own import own_samples, scrape_samples
from agent.reading import read
from agent.rows import Rows
from agent.settings import Settings
from agent.target import Target
from schemas.batch import Batch, Series

log = logging.getLogger("tidegauge.agent")

Samples = Sequence[tuple[Series, float]]


def aligned(now_ms: int, interval_ms: int) -> int:
    """Return the last multiple of the interval at or before now."""
    return now_ms - now_ms % interval_ms


@dataclass(slots=True)
class Scraper:
    """One target with what is remembered of it between rounds."""

    target: Target
    timeout_s: float
    max_bytes: int
    max_samples: int
    up: bool | None = None
    failed: int = 0
    _exposition: Exposition = field(init=False)

    def __post_init__(self) -> None:
        self._exposition = Exposition(self.target.job, self.target.instance)

    def scrape(self) -> Samples:
        """Return the target's samples and those about the scrape; only the latter if it failed."""
        started = monotonic()
        try:
            samples = self._samples()
        except ScrapeError as error:
            self.failed += 1
            self._set_up(False, str(error))
            samples = []
        else:
            self._set_up(True, f"{self.target.url} answers, {len(samples)} samples")
        seconds = monotonic() - started
        about = scrape_samples(self.up is True, seconds, len(samples), self.target.job, self.target.instance)
        # Ours come last and win over an endpoint's series of the same name and labels.
        ours = {(series.name, series.labels) for series, _ in about}
        return [*(one for one in samples if (one[0].name, one[0].labels) not in ours), *about]

    def _samples(self) -> Samples:
        text, openmetrics = fetch(self.target.url, self.timeout_s, self.max_bytes)
        try:
            samples = self._exposition.parse(text, openmetrics)
        except ValueError as error:
            raise ScrapeError("TG-scrape-parse", f"{self.target.url}: {error}") from error
        if len(samples) > self.max_samples:
            raise ScrapeError(
                "TG-scrape-samples",
                f"{self.target.url} has {len(samples)} samples, the limit is {self.max_samples}; "
                "TIDEGAUGE_AGENT_SCRAPE_SAMPLES raises it",
            )
        return samples

    def _set_up(self, up: bool, line: str) -> None:
        if self.up != up:
            log.log(logging.INFO if up else logging.ERROR, "%s", line)
        self.up = up


class Rounds:
    """Makes the batches of a round. `delivered` gives the sender's part of own.METRICS."""

    def __init__(self, settings: Settings, delivered: Callable[[], dict[str, float]]) -> None:
        self._settings = settings
        self._delivered = delivered
        self._largest = Largest(settings.agent_processes)
        self._host = Rows(settings.agent_tenant, settings.agent_source)
        self.scrapers = [
            Scraper(
                target,
                settings.agent_scrape_timeout_s,
                settings.agent_scrape_bytes,
                settings.agent_scrape_samples,
            )
            for target in settings.agent_scrape
        ]
        self._rows = [
            Rows(settings.agent_tenant, f"{settings.agent_source}/{target.job}/{target.instance}")
            for target in settings.agent_scrape
        ]
        self._pool = ThreadPoolExecutor(max_workers=max(1, min(8, len(self.scrapers))), thread_name_prefix="scrape")
        self.skipped = 0

    def batches(self, at_ms: int, sent_at: int) -> list[Batch]:
        """Return one batch of the machine and one of each target, every sample at `at_ms`."""
        pending = [self._pool.submit(scraper.scrape) for scraper in self.scrapers]
        reading = read()
        shown = self._largest.pick(reading.processes)
        source = self._settings.agent_source
        own = self._delivered() | {
            "agent_rounds_skipped_total": float(self.skipped),
            "agent_scrapes_failed_total": float(sum(scraper.failed for scraper in self.scrapers)),
        }
        machine = [*node_samples(reading, shown, source, at_ms), *own_samples(own, source)]
        batches = [self._host.batch(at_ms, machine, sent_at)]
        for rows, future in zip(self._rows, pending, strict=True):
            batches.append(rows.batch(at_ms, future.result(), sent_at))
        return batches

    def close(self) -> None:
        """End the scraping threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)
