"""Makes the Kafka topics of schemas.topics, and brings existing ones to their settings."""

import sys

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from schemas.topics import TOPICS
from sinks.client import opened


def create(bootstrap: str) -> list[str]:
    """Make the topics that are missing, update the others; return the names of all.

    bootstrap: host:port of a broker. Partitions are only ever added: the keys of metrics.valid name shards, not
    partitions, so more partitions lose nothing. Raises kafka.errors.KafkaError if the broker does not answer.
    """
    admin = opened(KafkaAdminClient, bootstrap, client_id="tidegauge-topics")
    try:
        existing = set(admin.list_topics())
        missing = [topic for topic in TOPICS if topic.name not in existing]
        if missing:
            admin.create_topics(
                {
                    topic.name: {
                        "num_partitions": topic.partitions,
                        "replication_factor": 1,
                        "configs": topic.settings(),
                    }
                    for topic in missing
                },
                wait_for_metadata=True,
            )
        present = [topic for topic in TOPICS if topic.name in existing]
        if present:
            admin.alter_configs(
                [ConfigResource(ConfigResourceType.TOPIC, topic.name, configs=topic.settings()) for topic in present]
            )
            counts = {one["name"]: len(one["partitions"]) for one in admin.describe_topics([t.name for t in present])}
            grown = {topic.name: topic.partitions for topic in present if counts[topic.name] < topic.partitions}
            if grown:
                admin.create_partitions(grown)
    finally:
        admin.close()
    return [topic.name for topic in TOPICS]


def main(argv: list[str]) -> None:
    """Make the topics of the broker at argv[0], HOST:PORT."""
    print("topics:", ", ".join(create(argv[0])))


if __name__ == "__main__":
    main(sys.argv[1:])
