"""Consumer groups as samples."""

from agent.groups import group_samples
from sinks.groups import Place


def test_samples_have_kafka_exporters_names() -> None:
    places = [
        Place("tidegauge-store", "metrics.valid", 3, committed=100, oldest=120, newest=150),
        Place("tidegauge-rollup", "metrics.valid", 3, committed=140, oldest=120, newest=150),
    ]
    shown = {
        f"{series.name}{dict(series.labels).get('consumergroup', '')}": value
        for series, value in group_samples(places, "k:9092")
    }
    assert shown == {
        "kafka_topic_partition_oldest_offset": 120,
        "kafka_topic_partition_current_offset": 150,
        "kafka_consumergroup_current_offsettidegauge-store": 100,
        "kafka_consumergroup_lagtidegauge-store": 30,
        "kafka_consumergroup_lost_recordstidegauge-store": 20,
        "kafka_consumergroup_current_offsettidegauge-rollup": 140,
        "kafka_consumergroup_lagtidegauge-rollup": 10,
        "kafka_consumergroup_lost_recordstidegauge-rollup": 0,
    }


def test_labels_say_where() -> None:
    series, _ = group_samples([Place("g", "t", 0, 0, 0, 1)], "k:9092")[-1]
    assert series.labels == (
        ("consumergroup", "g"), ("instance", "k:9092"), ("job", "kafka"), ("partition", "0"), ("topic", "t"),
    )  # fmt: skip
