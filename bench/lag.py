"""How far a consumer group is behind its topic, by the offsets that its job commits with each checkpoint."""

import time
from collections.abc import Callable

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition

from bench.cluster import ClusterError


def await_read(kafka: str, group: str, topic: str, progress: Callable[[str], None], seconds: float = 300.0) -> None:
    """Wait until the group has committed all that the topic holds; raises ClusterError."""
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    consumer = KafkaConsumer(bootstrap_servers=kafka)
    try:
        end = time.monotonic() + seconds
        parts = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        while lag := behind(admin, consumer, group, parts):
            if time.monotonic() > end:
                raise ClusterError(f"TG-bench-stall: {group} is {lag} records of {topic} behind after {seconds:.0f} s")
            progress(f"{group} is {lag:,} records of {topic} behind")
            time.sleep(0.5)
    finally:
        admin.close()
        consumer.close()


def behind(admin: KafkaAdminClient, consumer: KafkaConsumer, group: str, parts: list[TopicPartition]) -> int:
    """Return the records that the group has not committed."""
    committed = admin.list_group_offsets({group: parts})[group]
    ends = consumer.end_offsets(parts)
    done = {part: max(committed[part].offset, 0) if part in committed else 0 for part in parts}
    return sum(ends[part] - done[part] for part in parts)
