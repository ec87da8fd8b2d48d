"""Makes the Kafka topics of schemas.topics, and brings existing ones to their settings."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import InvalidReplicationFactorError, KafkaError
from pydantic import Field, ValidationError
from pydantic_settings import SettingsConfigDict

from schemas.setting import faults
from schemas.topics import PARTITIONS, TOPICS, Topic
from sinks.bounded import Bounded
from sinks.client import opened

_RETENTION = ("retention.ms", "retention.bytes")

Tell = Callable[[str], object]


class TopicSettings(Bounded):
    """Every field is the environment variable TIDEGAUGE_<FIELD>."""

    model_config = SettingsConfigDict(env_prefix="TIDEGAUGE_", extra="forbid", frozen=True)

    topic_replication: int = Field(
        1,
        ge=1,
        le=32,
        description="Replicas of new topics. A write then needs all but one of them (min.insync.replicas).",
    )
    topic_partitions: int = Field(
        PARTITIONS,
        ge=1,
        le=4096,
        description="Partitions of metrics.raw, metrics.valid and metrics.pending when they are made. Of those that "
        "exist only metrics.raw gets more: in the others the order of records counts.",
    )

    gate_tolerance_s: int = Field(
        7200, description="How old a sample may be, as the gate has it: what is as old must not expire as it comes."
    )

    def partitions(self, topic: Topic) -> int:
        """Return how many partitions the topic has when it is made."""
        return self.topic_partitions if topic.scaled else topic.partitions

    def configs(self, topic: Topic) -> dict[str, str]:
        """Return the configuration of a new topic by Kafka's names."""
        # Not for topics that exist: one with a single replica would take no more records.
        safe = {"min.insync.replicas": str(self.topic_replication - 1)} if self.topic_replication > 1 else {}
        return {**self.kept(topic), **safe}

    def kept(self, topic: Topic) -> dict[str, str]:
        """Return what of it also holds for a topic that exists."""
        return topic.settings(self.gate_tolerance_s * 1000)


def create(bootstrap: str, settings: TopicSettings | None = None, tell: Tell = print) -> list[str]:
    """Make the topics that are missing, update the others; return the names of all.

    bootstrap: host:port of a broker; settings: by default those of the environment; tell: is given a line for each
    change of a topic that exists, and for what it keeps. Raises kafka.errors.KafkaError if the broker does not answer.
    """
    chosen = settings or TopicSettings()
    admin = opened(KafkaAdminClient, bootstrap, client_id="tidegauge-topics")
    try:
        existing = set(admin.list_topics())
        missing = [topic for topic in TOPICS if topic.name not in existing]
        if missing:
            admin.create_topics(
                {
                    topic.name: {
                        "num_partitions": chosen.partitions(topic),
                        "replication_factor": chosen.topic_replication,
                        "configs": chosen.configs(topic),
                    }
                    for topic in missing
                },
                wait_for_metadata=True,
            )
        present = [topic for topic in TOPICS if topic.name in existing]
        if present:
            _configure(admin, present, chosen, tell)
            _spread(admin, present, chosen, tell)
    finally:
        admin.close()
    return [topic.name for topic in TOPICS]


def _configure(admin: Any, present: Sequence[Topic], settings: TopicSettings, tell: Tell) -> None:
    """Set what the list says, but never a shorter retention: whoever raised it may have records that wait."""
    asked = [ConfigResource(ConfigResourceType.TOPIC, topic.name) for topic in present]
    found = admin.describe_configs(asked, config_filter="all")["topic"]
    changes = []
    for topic in present:
        has = {key: one["value"] for key, one in found[topic.name].items()}
        wanted = settings.kept(topic)
        for key, value in settings.kept(topic).items():
            if _more(key, has, value):
                tell(f"{topic.name}: {key}={has[key]} is kept, more than {value}")
                del wanted[key]
            elif has.get(key) != value:
                tell(f"{topic.name}: {key}={value}, was {has.get(key)}")
        changes.append(ConfigResource(ConfigResourceType.TOPIC, topic.name, configs=wanted))
    for name, result in admin.alter_configs(changes)["topic"].items():
        if result != "OK":
            tell(f"TG-kafka: {name}: the broker does not change its settings: {result}")


def _more(key: str, has: Mapping[str, str | None], value: str) -> bool:
    """Tell whether a topic keeps records for longer than the list says; -1 is for ever."""
    held = has.get(key)
    return key in _RETENTION and held is not None and int(value) != -1 and (int(held) == -1 or int(held) > int(value))


def _spread(admin: Any, present: Sequence[Topic], settings: TopicSettings, tell: Tell) -> None:
    """Add partitions where no order is lost by it; tell of each topic that is otherwise than a new one would be."""
    found = {one["name"]: one["partitions"] for one in admin.describe_topics([topic.name for topic in present])}
    grown = {}
    for topic in present:
        wanted, has = settings.partitions(topic), len(found[topic.name])
        if has < wanted and not topic.ordered:
            grown[topic.name] = wanted
            tell(f"{topic.name}: {wanted} partitions, were {has}")
        elif has != wanted:
            which = f"TIDEGAUGE_TOPIC_PARTITIONS={wanted}" if topic.scaled else str(wanted)
            why = "Kafka takes none away" if has > wanted else "with more of them the order of a key's records is lost"
            tell(f"{topic.name}: {has} partitions are kept, not {which}: {why}")
        replicas = min(len(one["replica_nodes"]) for one in found[topic.name])
        if replicas != settings.topic_replication:
            tell(
                f"{topic.name}: replication {replicas} is kept, not TIDEGAUGE_TOPIC_REPLICATION="
                f"{settings.topic_replication}; kafka-reassign-partitions changes it, then set min.insync.replicas"
            )
    if grown:
        admin.create_partitions(grown)


def main(argv: list[str]) -> int:
    """Make the topics of the broker at argv[0], HOST:PORT; return the exit code."""
    try:
        settings = TopicSettings()
        print("topics:", ", ".join(create(argv[0], settings)))
    except ValidationError as error:
        print("\n".join(faults(error)), file=sys.stderr)
        return 2
    except InvalidReplicationFactorError as error:
        print(
            f"TG-kafka: {argv[0]} (TIDEGAUGE_KAFKA): {error}; TIDEGAUGE_TOPIC_REPLICATION={settings.topic_replication}",
            file=sys.stderr,
        )
        return 1
    except KafkaError as error:
        print(f"TG-kafka: {argv[0]} (TIDEGAUGE_KAFKA): {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
