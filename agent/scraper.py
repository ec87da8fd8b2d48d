"""What is read each round beside the machine: something that has samples, or says why not."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic

from agent.fetch import ScrapeError
from agent.own import scrape_samples
from schemas.batch import Series

log = logging.getLogger("tidegauge.agent")

Samples = Sequence[tuple[Series, float]]


@dataclass(slots=True)
class Scraper:
    """One source of samples with what is remembered of it between rounds.

    read raises ScrapeError; where: what the log calls the source.
    """

    job: str
    instance: str
    where: str
    read: Callable[[], Samples]
    up: bool | None = None
    failed: int = 0

    def scrape(self) -> Samples:
        """Return the source's samples and those about the scrape; only the latter if it failed."""
        started = monotonic()
        try:
            samples = self.read()
        except ScrapeError as error:
            self._fail(str(error))
            samples = []
        except Exception as error:  # whatever one target does, the others are sent
            self._fail(f"TG-scrape-internal: {self.where}: {type(error).__name__}: {error}")
            samples = []
        else:
            self._set_up(True, f"{self.where} answers, {len(samples)} samples")
        seconds = monotonic() - started
        about = scrape_samples(self.up is True, seconds, len(samples), self.job, self.instance)
        # Ours come last and win over an endpoint's series of the same name and labels.
        ours = {(series.name, series.labels) for series, _ in about}
        return [*(one for one in samples if (one[0].name, one[0].labels) not in ours), *about]

    def unanswered(self, seconds: float) -> Samples:
        """Return the samples about a scrape that is not over yet."""
        self._fail(f"TG-scrape-timeout: {self.where} has no answer after {seconds:.0f} s")
        return scrape_samples(False, seconds, 0, self.job, self.instance)

    def _fail(self, line: str) -> None:
        self.failed += 1
        self._set_up(False, line)

    def _set_up(self, up: bool, line: str) -> None:
        if self.up != up:
            log.log(logging.INFO if up else logging.ERROR, "%s", line)
        self.up = up
