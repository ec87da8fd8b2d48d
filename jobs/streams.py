"""Kafka topics as streams of raw bytes, by Flink's public API.

A source is a table of format `raw` turned into a DataStream, so that Kafka's own record timestamp is the event time and
watermarks are made per partition inside the source. A sink is the way back. Rows:
IN (value, …), OUT (key, value, event time), KEYED (key, bytes), PAYLOAD (table/slot, rows, bytes), and ADDRESSED
(topic or table, key or slot, value, event time or number of rows).
"""

import os
from typing import TypeVar

from pyflink.common import Configuration, Types
from pyflink.datastream import DataStream, StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway
from pyflink.table import StreamTableEnvironment

from jobs import security
from jobs.fetch import patience
from jobs.settings import FORMER_SHARDS, JobSettings
from sinks.partitions import reaching

BYTES = Types.PRIMITIVE_ARRAY(Types.BYTE())
KEYED = Types.TUPLE([Types.STRING(), BYTES])
PAYLOAD = Types.TUPLE([Types.STRING(), Types.LONG(), BYTES])
ADDRESSED = Types.ROW_NAMED(["address", "k", "v", "n"], [Types.STRING(), BYTES, BYTES, Types.LONG()])
OUT = Types.ROW_NAMED(["k", "v", "ts"], [BYTES, BYTES, Types.LONG()])

Stream = TypeVar("Stream", bound=DataStream)

_PLACES = "p INT METADATA FROM 'partition' VIRTUAL, o BIGINT METADATA FROM 'offset' VIRTUAL, "
_WORKERS = "_python_worker_execution_mode"  # by PyFlink's own name
_NODES = "org.apache.flink.table.planner.plan.nodes.exec.ExecNodeContext"
# A source holds full fetches in the heap while there is a backlog, and four polls of what they unpack to: one being
# made, two in the connector's queue, one being read. A larger record still comes, alone (KIP-74).
_FETCH = {"max.partition.fetch.bytes": str(2 << 20), "fetch.max.bytes": str(8 << 20)}
# A poll is bounded by its number of records alone, 500 by default.
_POLL_BYTES = 20 << 20
# Behind the gate, whose records, and what comes of them, are seldom more than 400 KB (udfs/gate/cut.py): half of
# _POLL_BYTES, because three jobs read them at once.
_POLL = 25
_SEND = {
    "max.request.size": str(9 << 20),
    "compression.type": "lz4",
    "batch.size": str(256 << 10),
    "buffer.memory": str(32 << 20),  # of each sink; the gate has two that carry records of any size
}


def renumber(tables: StreamTableEnvironment) -> None:
    """Let the SQL nodes of the next plan count from 1.

    Flink numbers them by one counter a JVM, and the numbers are part of the sources' uids: of two jobs built in one
    process the second would get other uids than alone, and no savepoint of its own would fit it.
    """
    java = get_gateway()
    nodes = tables._j_tenv.getPlanner().getClass().getClassLoader().loadClass(_NODES)
    reset = nodes.getMethod("resetIdCounter", java.new_array(java.jvm.java.lang.Class, 0))
    reset.invoke(None, java.new_array(java.jvm.java.lang.Object, 0))


def at_once(stream: Stream) -> Stream:
    """Let each record of the stream, and of what it is made of, go on by itself; for few of them.

    Otherwise a thread of its own wakes up for each output, a hundred times a second in prompt jobs, to look for one.
    """
    # Not by set_buffer_timeout, which what comes from a table does not have.
    for transformation in stream._j_data_stream.getTransformation().getTransitivePredecessors():
        transformation.setBufferTimeout(0)
    return stream


def _in_sql(value: str) -> str:
    return value.replace("'", "''")


class Streams:
    """One job under construction: sources, sinks, and its submission under the name <prefix>-<name>."""

    def __init__(
        self,
        name: str,
        settings: JobSettings,
        cluster: Configuration | None = None,
        prompt: bool = False,
        watermarks_ms: int = 200,
    ) -> None:
        """prompt: what waits for company does so for 10 ms, for jobs between a sample and an alert.

        watermarks_ms: how often a source says how far event time is.
        """
        self.name = name
        self.settings = settings
        self.full_name = f"{settings.job_prefix}-{name}"
        self._linger_ms = 5 if prompt else 20
        if cluster is not None:
            # PyFlink takes every new environment for a local one: in process mode the cluster's Python would then be
            # this very process, which ends with the submission ("Process died with exit code 0").
            os.environ[_WORKERS] = "process"
        self.env = StreamExecutionEnvironment.get_execution_environment()
        if cluster is not None:
            # Given to get_execution_environment it would be overwritten by a mini cluster's settings.
            self.env.configure(cluster)
        own = Configuration()
        own.set_string("python.execution-mode", settings.execution_mode)
        own.set_string("pipeline.auto-watermark-interval", f"{watermarks_ms} ms")
        if prompt:
            own.set_string("execution.buffer-timeout.interval", "10 ms")  # 100 by default, in each network buffer
        self.env.configure(own)
        self.env.set_parallelism(settings.parallelism)
        self.env.enable_checkpointing(settings.checkpoint_interval_s * 1000)
        self._tables = StreamTableEnvironment.create(self.env)
        renumber(self._tables)
        # Uids for the connectors too: a savepoint then fits a job whose Python changed.
        self._tables.get_config().set("table.exec.uid.generation", "ALWAYS")
        self._statements = self._tables.create_statement_set()
        self._made = 0
        self._secured = security.client(settings)

    def _options(self, topic: str, extra: dict[str, str]) -> str:
        options = {
            "connector": "kafka",
            "topic": topic,
            "properties.bootstrap.servers": self.settings.kafka,
            "format": "raw",
            **{f"properties.{key}": value for key, value in self._secured.items()},
            **extra,
        }
        return ", ".join(f"'{key}'='{_in_sql(value)}'" for key, value in options.items())

    def source(
        self,
        topic: str,
        lateness_s: int = 0,
        idle_s: float | None = None,
        drift_s: int | None = None,
        places: bool = False,
        longest: int | None = None,
        cut: bool = False,
    ) -> DataStream:
        """Return the topic's values as Row(v, …), event time = Kafka's timestamp, watermark lateness_s behind it.

        idle_s: how long a partition without records holds event time up; by default TIDEGAUGE_IDLE_TIMEOUT_S.
        drift_s: how far one partition may be read ahead of the others, in event time; None: as far as it goes.
        places: rows are Row(v, partition, offset, …).
        longest: bytes of the longest record, of a topic that does not come from the gate; polls are sized by it.
        cut: values are cut off behind longest. One that a producer has compressed may be of any size, and would go to
        the next task whole.
        """
        options = self._options(topic, self._source_options(topic, idle_s, drift_s, longest))
        table = self._name("source", topic)
        minutes, seconds = divmod(lateness_s, 60)
        self._tables.execute_sql(
            f"CREATE TEMPORARY TABLE `{table}` (v BYTES, {_PLACES if places else ''}"
            "ts TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL, "
            f"WATERMARK FOR ts AS ts - INTERVAL '{minutes}:{seconds}' MINUTE TO SECOND) WITH ({options})"
        )
        if longest is None or not cut:
            return self._tables.to_data_stream(self._tables.from_path(table))
        # A cast to a length cuts; back again, because PyFlink has no type for the length.
        value = f"CAST(CAST(v AS VARBINARY({longest})) AS BYTES) AS v"
        rows = self._tables.sql_query(f"SELECT {value}, {'p, o, ' if places else ''}ts FROM `{table}`")
        return self._tables.to_data_stream(rows)

    def _source_options(
        self, topic: str, idle_s: float | None, drift_s: int | None, longest: int | None
    ) -> dict[str, str]:
        idle_s = self.settings.idle_timeout_s if idle_s is None else idle_s
        drift = {
            "scan.watermark.alignment.group": self.name,
            "scan.watermark.alignment.max-drift": f"{drift_s} s",
            "scan.watermark.alignment.update-interval": "200 ms",
        }
        return {
            "properties.group.id": self.full_name,
            "properties.auto.offset.reset": "earliest",
            "scan.startup.mode": "group-offsets",
            "scan.topic-partition-discovery.interval": "30 s",  # 5 min by default: a partition more waits so long
            "scan.watermark.idle-timeout": f"{round(1000 * idle_s)} ms",
            **(drift if drift_s is not None else {}),
            **patience(topic, self.settings.parallelism),
            **{f"properties.{key}": value for key, value in _FETCH.items()},
            "properties.max.poll.records": str(_POLL if longest is None else max(1, _POLL_BYTES // longest)),
        }

    def control(self, topic: str, whole: bool = True) -> DataStream:
        """Return a compacted topic as Row(k, v, …) from its beginning; v is null for a deletion.

        whole False: only what comes from now on.

        It falls idle after a second without records, and so does not hold back the watermark of what it is joined to.
        No scan.parallelism: Flink would deal the records of the one source out to many, and a deletion may then
        overtake the record it deletes.
        """
        options = self._options(
            topic,
            {
                "key.format": "raw",
                "key.fields": "k",
                "value.fields-include": "EXCEPT_KEY",
                "properties.group.id": self.full_name,
                "scan.startup.mode": "earliest-offset" if whole else "latest-offset",
                "scan.watermark.idle-timeout": "1 s",
                **patience(topic, self.settings.parallelism),
            },
        )
        table = self._name("control", topic)
        self._tables.execute_sql(
            f"CREATE TEMPORARY TABLE `{table}` (k BYTES, v BYTES, "
            f"ts TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL, WATERMARK FOR ts AS ts) WITH ({options})"
        )
        return at_once(self._tables.to_data_stream(self._tables.from_path(table)))

    def clock(self) -> DataStream:
        """Return twenty rows a second, by the machine's clock, in one subtask."""
        table = self._name("clock", "second")
        self._tables.execute_sql(
            f"CREATE TEMPORARY TABLE `{table}` (n BIGINT) "
            "WITH ('connector' = 'datagen', 'rows-per-second' = '20', 'scan.parallelism' = '1')"
        )
        return self._tables.to_data_stream(self._tables.from_path(table))

    def sink(self, stream: DataStream, topic: str) -> None:
        """Write a stream of OUT rows to the topic, at least once; ts becomes the record's timestamp."""
        self._insert(topic, f"SELECT k, v, TO_TIMESTAMP_LTZ(ts, 3) FROM {self._tables.from_data_stream(stream)}")

    def route(self, stream: DataStream, *into: str) -> None:
        """Write a stream of ADDRESSED rows to the topics that they name; n becomes the record's timestamp.

        Not by side outputs: PyFlink puts a Python map behind each, and that would share the operator's thread
        (udfs/mode.py).
        """
        rows = self._tables.from_data_stream(stream)
        for topic in into:
            self._insert(topic, f"SELECT k, v, TO_TIMESTAMP_LTZ(n, 3) FROM {rows} WHERE address = '{topic}'")

    def _insert(self, topic: str, select: str) -> None:
        options = self._options(
            topic,
            {
                "key.format": "raw",
                "key.fields": "k",
                "value.fields-include": "EXCEPT_KEY",
                "sink.delivery-guarantee": "at-least-once",
                "properties.linger.ms": str(self._linger_ms),
                **{f"properties.{key}": value for key, value in _SEND.items()},
            },
        )
        table = self._name("sink", topic)
        self._tables.execute_sql(
            f"CREATE TEMPORARY TABLE `{table}` (k BYTES, v BYTES, ts TIMESTAMP_LTZ(3) METADATA FROM 'timestamp') "
            f"WITH ({options})"
        )
        self._statements.add_insert_sql(f"INSERT INTO `{table}` {select}")

    def uid(self, word: str, by_shard: bool = False) -> str:
        """Return the operator's stable uid.

        It carries what else its state depends on, so that Flink refuses to load any other: the mode, and the number of
        shards where they are part of the key.
        """
        marks = [word]
        if self.settings.execution_mode != "thread":
            marks.append(self.settings.execution_mode)
        if by_shard and self.settings.shards != FORMER_SHARDS:
            marks.append(f"{self.settings.shards}-shards")
        return "-".join(marks)

    def covering(self, prefix: str) -> list[str]:
        """Return keys of a stream keyed by strings of which every subtask gets one, with fewer subtasks too.

        Two for each: no range of key groups is then without, whatever lower parallelism Flink finds slots for.
        """
        groups = get_gateway().jvm.org.apache.flink.runtime.state.KeyGroupRangeAssignment
        most = self.env.get_max_parallelism()
        if most <= 0:
            most = groups.computeDefaultMaxParallelism(self.settings.parallelism)
        ranges = min(2 * self.settings.parallelism, most)
        return reaching(ranges, prefix, lambda key: int(groups.assignKeyToParallelOperator(key, most, ranges)))

    def _name(self, kind: str, topic: str) -> str:
        self._made += 1
        return f"{kind}_{topic.replace('.', '_')}_{self._made}"

    def submit(self) -> str:
        """Submit the job and return its id, without waiting for its end."""
        self._statements.attach_as_datastream()
        client = self.env.execute_async(self.full_name)
        return str(client.get_job_id())
