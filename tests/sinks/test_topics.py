"""The topics of a real broker: what is made, and what is left as whoever runs it has set it."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from schemas.topics import HOUR_MS, LATE, PENDING, RAW, RULES, TOPICS, VALID, VERDICTS
from sinks.control import newest, publish
from sinks.topics import TopicSettings, create, main
from tests.sinks.conftest import Broker

HOUR = 3_600_000
DAY, WEEK = 24 * HOUR, 168 * HOUR

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]


def until(check: Callable[[], bool]) -> None:
    """Wait for what the broker has yet to hear from the controller."""
    deadline = time.monotonic() + 60
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def admin(secured: Broker) -> Iterator[Any]:
    """A client of a broker without topics."""
    client = KafkaAdminClient(bootstrap_servers=secured.plaintext)
    if names := client.list_topics():
        client.delete_topics(names)
    until(lambda: not client.list_topics())
    yield client
    client.close()


def made(admin: Any, name: str) -> tuple[int, int, dict[str, str]]:
    """Return (partitions, replication, the settings that are its own) of a topic."""
    (found,) = admin.describe_topics([name])
    told = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])["topic"][name]
    (replication,) = {len(one["replica_nodes"]) for one in found["partitions"]}
    return len(found["partitions"]), replication, {key: one["value"] for key, one in told.items()}


def bring(secured: Broker, **settings: int) -> list[str]:
    """Make or update the topics; return what was told."""
    told: list[str] = []
    assert create(secured.plaintext, TopicSettings.model_validate(settings), told.append) == [t.name for t in TOPICS]
    return told


def set_by_hand(admin: Any, name: str, **settings: str) -> None:
    configs = {key.replace("_", "."): value for key, value in settings.items()}
    told = admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, configs=configs)])
    assert told == {"topic": {name: "OK"}}
    until(lambda: made(admin, name)[2].items() >= configs.items())


def test_new_topics_are_as_the_list_has_them_and_stay_so(secured: Broker, admin: Any) -> None:
    bring(secured)
    for topic in TOPICS:
        partitions, replication, settings = made(admin, topic.name)
        assert (partitions, replication) == (topic.partitions, 1)
        assert settings.items() >= topic.settings().items()
        assert "min.insync.replicas" not in topic.settings()
    assert bring(secured) == []


def test_retention_that_was_raised_stays(secured: Broker, admin: Any) -> None:
    bring(secured)
    set_by_hand(admin, RAW, retention_ms=str(WEEK), retention_bytes="5000000000", max_message_bytes="1000000")
    set_by_hand(admin, VALID, retention_ms="-1")
    set_by_hand(admin, LATE, retention_ms=str(HOUR))
    set_by_hand(admin, RULES, cleanup_policy="delete")
    told = bring(secured)
    until(lambda: made(admin, RULES)[2]["cleanup.policy"] == "compact")  # of one request, whose last but one it is
    assert made(admin, RAW)[2]["retention.ms"] == str(WEEK)
    assert made(admin, RAW)[2]["retention.bytes"] == "5000000000"
    assert made(admin, VALID)[2]["retention.ms"] == "-1"
    assert made(admin, LATE)[2]["retention.ms"] == str(2 * DAY + 2 * HOUR)
    assert made(admin, RAW)[2]["max.message.bytes"] == str(9 << 20)
    assert sorted(told) == [
        f"{RULES}: cleanup.policy=compact, was delete",
        f"{LATE}: retention.ms={2 * DAY + 2 * HOUR}, was {HOUR}",
        f"{RAW}: max.message.bytes={9 << 20}, was 1000000",
        f"{RAW}: retention.ms={WEEK} is kept, more than {DAY}",
        f"{VALID}: retention.ms=-1 is kept, more than {DAY + 2 * HOUR}",
    ]


def test_partitions_by_the_setting_of_new_topics_and_of_those_without_order(secured: Broker, admin: Any) -> None:
    bring(secured, topic_partitions=3)
    assert [made(admin, name)[0] for name in (RAW, VALID, PENDING, RULES, LATE)] == [3, 3, 3, 1, 4]
    told = bring(secured, topic_partitions=5)
    until(lambda: made(admin, RAW)[0] == 5)
    assert [made(admin, name)[0] for name in (VALID, PENDING, RULES, LATE)] == [3, 3, 1, 4]
    assert told[0] == f"{RAW}: 5 partitions, were 3"
    assert [line.partition(",")[0] for line in told[1:]] == [
        f"{name}: 3 partitions are kept" for name in (VALID, PENDING)
    ]
    assert all("TIDEGAUGE_TOPIC_PARTITIONS=5" in line for line in told[1:])
    assert [line.partition(",")[0] for line in bring(secured, topic_partitions=2)] == [
        f"{name}: {number} partitions are kept" for name, number in ((RAW, 5), (VALID, 3), (PENDING, 3))
    ]


def test_the_newest_records_of_a_topic_are_read_in_their_order(secured: Broker, admin: Any) -> None:
    bring(secured)
    until(lambda: VERDICTS in admin.list_topics())
    assert list(newest(secured.plaintext, VERDICTS, 2)) == []
    for value in (b"1", b"2", None, b"4"):
        publish(secured.plaintext, VERDICTS, {"acme": value})
    assert list(newest(secured.plaintext, VERDICTS, 3)) == [b"2", b"4"]
    assert list(newest(secured.plaintext, VERDICTS, 100)) == [b"1", b"2", b"4"]


def test_replication_of_new_topics_only(secured: Broker, admin: Any) -> None:
    bring(secured)
    told = bring(secured, topic_replication=3)
    assert len(told) == len(TOPICS)
    assert told[0].startswith(f"{RAW}: replication 1 is kept, not TIDEGAUGE_TOPIC_REPLICATION=3")
    assert "min.insync.replicas" not in {key for topic in TOPICS for key in made(admin, topic.name)[2]}


def test_more_replicas_than_brokers_is_one_line(
    secured: Broker, admin: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIDEGAUGE_TOPIC_REPLICATION", "2")
    assert main([secured.plaintext]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"TG-kafka: {secured.plaintext} (TIDEGAUGE_KAFKA): ")
    assert "TIDEGAUGE_TOPIC_REPLICATION=2" in line and "1 broker" in line
    assert not set(admin.list_topics())


@pytest.mark.parametrize(("replication", "needed"), [(1, None), (2, "1"), (3, "2"), (5, "4")])
def test_a_write_needs_all_replicas_but_one(replication: int, needed: str | None) -> None:
    settings = TopicSettings(topic_replication=replication)
    assert {settings.configs(topic).get("min.insync.replicas") for topic in TOPICS} == {needed}


@pytest.mark.parametrize(("tolerance_s", "hours"), [(7200, 26), (7 * 86_400, 8 * 24)])
def test_what_the_gate_lets_in_does_not_expire_as_it_comes(tolerance_s: int, hours: int) -> None:
    settings = TopicSettings(gate_tolerance_s=tolerance_s)
    kept = {topic.name: int(settings.configs(topic).get("retention.ms", 0)) // HOUR_MS for topic in TOPICS}
    assert (kept[VALID], kept[LATE]) == (hours, hours + 24)
    assert (kept[RAW], kept[PENDING]) == (24, 24)  # stamped as they come
