"""The Kafka broker: one node in KRaft mode, broker and controller in one."""

from collections.abc import Mapping

from schemas.topics import TOPICS
from stack.archive import KAFKA
from stack.home import JARS, Home
from stack.javatext import properties
from stack.ports import HOST
from stack.process import Process, listens

HEAP = "-Xmx512m"
CLUSTER_ID = "dGlkZWdhdWdlLWthZmthLQ"
"""Any 16 bytes in base64: each home has its own broker and its own data."""

LARGEST_RECORD = max(int(topic.settings()["max.message.bytes"]) for topic in TOPICS)


def server_properties(home: Home, ports: Mapping[str, int]) -> dict[str, str]:
    """Return the broker's settings by Kafka's names."""
    broker, controller = ports["kafka"], ports["kafka-controller"]
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{HOST}:{controller}",
        "listeners": f"PLAINTEXT://{HOST}:{broker},CONTROLLER://{HOST}:{controller}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{broker}",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": str(home.path / "kafka" / "data"),
        "message.max.bytes": str(LARGEST_RECORD),
        "replica.fetch.max.bytes": str(LARGEST_RECORD),
        "auto.create.topics.enable": "false",
        "offsets.topic.num.partitions": "4",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        "log.segment.bytes": str(128 << 20),
        "log.retention.check.interval.ms": "60000",
    }


def broker(home: Home, ports: Mapping[str, int], env: Mapping[str, str]) -> Process:
    """Return the broker's process; the first start formats its data folder."""
    folder = home.folder("kafka")
    settings = server_properties(home, ports)
    (folder / "server.properties").write_text(properties(settings))
    java = f"java -cp '{JARS}/kafka/*' -Dorg.slf4j.simpleLogger.showDateTime=true"
    # A path may hold spaces, so that it reaches the shell as an argument.
    script = (
        f'[ -f "$1/data/meta.properties" ] || {java} kafka.tools.StorageTool format -t {CLUSTER_ID} '
        f'-c "$1/server.properties" --ignore-formatted && exec {java} $JVM_ARGS {HEAP} -XX:+UseSerialGC '
        f'kafka.Kafka "$1/server.properties"'
    )
    return Process(
        name="kafka",
        command=("bash", "-c", script, "kafka", str(folder)),
        env=env,
        cwd=folder,
        ready=listens(ports["kafka"]),
        classes=KAFKA,
        grace_s=20.0,
    )
