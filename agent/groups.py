"""Consumer groups as a source of samples, by kafka_exporter's names."""

from collections.abc import Iterable, Mapping

from kafka.errors import KafkaError

from agent.fetch import ScrapeError
from agent.scraper import Samples
from agent.target import relabel
from schemas.batch import Series
from sinks.client import servers
from sinks.groups import Groups, Place

JOB = "kafka"

# The first four are kafka_exporter's, the last is ours.
METRICS: Mapping[str, tuple[str, str]] = {
    "kafka_topic_partition_oldest_offset": ("gauge", ""),
    "kafka_topic_partition_current_offset": ("gauge", ""),
    "kafka_consumergroup_current_offset": ("gauge", ""),
    "kafka_consumergroup_lag": ("gauge", ""),
    "kafka_consumergroup_lost_records": ("gauge", ""),  # deleted by retention before the group came to them
}


def group_samples(places: Iterable[Place], instance: str) -> list[tuple[Series, float]]:
    """Return the samples of METRICS: topics once, groups in each partition that they read."""
    values: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for place in places:
        topic = {"topic": place.topic, "partition": str(place.partition)}
        group = topic | {"consumergroup": place.group}
        for name, labels, value in (
            ("kafka_topic_partition_oldest_offset", topic, place.oldest),
            ("kafka_topic_partition_current_offset", topic, place.newest),
            ("kafka_consumergroup_current_offset", group, place.committed),
            ("kafka_consumergroup_lag", group, place.behind),
            ("kafka_consumergroup_lost_records", group, place.lost),
        ):
            values[name, relabel(labels, JOB, instance)] = float(value)
    return [(Series(name, labels, *METRICS[name]), value) for (name, labels), value in values.items()]


class GroupReader:
    """The groups whose names begin with the prefix. Its connection stays; one that broke is opened anew next time."""

    def __init__(self, bootstrap: str, prefix: str, timeout_s: float) -> None:
        self._bootstrap, self._prefix, self._timeout_s = bootstrap, prefix, timeout_s
        self._groups: Groups | None = None

    def read(self) -> Samples:
        """Return the samples of now; raises ScrapeError."""
        try:
            if self._groups is None:
                self._groups = Groups(self._bootstrap, self._prefix, self._timeout_s)
            return group_samples(self._groups.places(), self.instance)
        except KafkaError as error:
            self.close()
            raise ScrapeError("TG-scrape-kafka", f"{self.where}: {error}") from error

    @property
    def instance(self) -> str:
        """The first broker that was named."""
        return servers(self._bootstrap)[0]

    @property
    def where(self) -> str:
        """What is read, for people."""
        return f"groups {self._prefix}* at {self._bootstrap}"

    def close(self) -> None:
        """End the connection, if there is one."""
        if self._groups is not None:
            self._groups.close()
            self._groups = None
