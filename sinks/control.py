"""What a compacted topic holds now, read to its end by a plain consumer."""

from kafka import KafkaConsumer, TopicPartition


def stored(bootstrap: str, topic: str) -> dict[str, bytes]:
    """Return the newest value of every key; deleted ones are left out. Raises kafka.errors.KafkaError."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap.split(","), enable_auto_commit=False, group_id=None)
    try:
        parts = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
        consumer.assign(parts)
        consumer.seek_to_beginning(*parts)
        ends = consumer.end_offsets(parts)
        found: dict[str, bytes] = {}
        while any(consumer.position(part) < ends[part] for part in parts):
            for records in consumer.poll(timeout_ms=500).values():
                for record in records:
                    key = (record.key or b"").decode("utf-8", "replace")
                    if record.value is None:
                        found.pop(key, None)
                    else:
                        found[key] = record.value
        return found
    finally:
        consumer.close()
