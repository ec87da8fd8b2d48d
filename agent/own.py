"""The agent's metrics about itself: one list of names, each with type, unit and meaning."""

from collections.abc import Mapping

from agent.target import relabel
from schemas.batch import Series

JOB = "agent"

METRICS: Mapping[str, tuple[str, str]] = {
    "agent_batches_sent_total": ("counter", ""),  # acknowledged by the broker
    "agent_samples_sent_total": ("counter", ""),
    "agent_sent_bytes_total": ("counter", "bytes"),  # before compression
    "agent_send_failures_total": ("counter", ""),  # rounds of sending that failed in part or whole, then retried
    "agent_batches_dropped_total": ("counter", ""),  # the buffer was full, or the record too large for Kafka
    "agent_samples_dropped_total": ("counter", ""),
    "agent_buffer_batches": ("gauge", ""),  # waiting for the broker
    "agent_buffer_bytes": ("gauge", "bytes"),
    "agent_rounds_skipped_total": ("counter", ""),  # a round took longer than the interval
    "agent_scrapes_failed_total": ("counter", ""),
    "process_cpu_seconds_total": ("counter", "seconds"),  # of the agent itself
    "process_resident_memory_bytes": ("gauge", "bytes"),
}

# What a scrape says about itself, by Prometheus's names.
SCRAPE_METRICS: Mapping[str, tuple[str, str]] = {
    "up": ("gauge", ""),  # 1: the endpoint answered and could be read
    "scrape_duration_seconds": ("gauge", "seconds"),
    "scrape_samples_scraped": ("gauge", ""),
}


def own_samples(values: Mapping[str, float], instance: str) -> list[tuple[Series, float]]:
    """Return the samples of METRICS; values must hold exactly these names."""
    return _samples(METRICS, values, JOB, instance)


def scrape_samples(up: bool, seconds: float, samples: int, job: str, instance: str) -> list[tuple[Series, float]]:
    """Return the samples of SCRAPE_METRICS for one scrape."""
    values = {"up": float(up), "scrape_duration_seconds": seconds, "scrape_samples_scraped": float(samples)}
    return _samples(SCRAPE_METRICS, values, job, instance)


def _samples(
    metrics: Mapping[str, tuple[str, str]], values: Mapping[str, float], job: str, instance: str
) -> list[tuple[Series, float]]:
    labels = relabel({}, job, instance)
    return [(Series(name, labels, kind, unit), values[name]) for name, (kind, unit) in metrics.items()]
