"""A Prometheus endpoint as a source of samples."""

from agent.exposition import Exposition
from agent.fetch import ScrapeError, fetch
from agent.scraper import Samples, Scraper
from agent.target import Target


def of_endpoint(target: Target, timeout_s: float, max_bytes: int, max_samples: int) -> Scraper:
    """Return the scraper of a target; limits: seconds and bytes of an answer, and samples in it."""
    exposition = Exposition(target.job, target.instance)

    def read() -> Samples:
        text, openmetrics = fetch(target.url, timeout_s, max_bytes, target.authorization)
        try:
            samples = exposition.parse(text, openmetrics)
        except ValueError as error:
            raise ScrapeError("TG-scrape-parse", f"{target.url}: {error}") from error
        if len(samples) > max_samples:
            raise ScrapeError(
                "TG-scrape-samples",
                f"{target.url} has {len(samples)} samples, the limit is {max_samples}; "
                "TIDEGAUGE_AGENT_SCRAPE_SAMPLES raises it",
            )
        return samples

    return Scraper(target.job, target.instance, target.url, read)
