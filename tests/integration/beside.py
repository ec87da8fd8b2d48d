"""A job beside the running ones, under a prefix of its own: from chosen offsets, and away again."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.structs import OffsetAndMetadata

from stack import state
from stack.flink import flink_env
from stack.home import Home
from stack.plan import environment
from stack.rest import FlinkRest

Begin = Callable[[int, int], int]
"""(first, end) offset of a partition → where to begin."""


def partitions(consumer: KafkaConsumer, *names: str) -> list[TopicPartition]:
    return [TopicPartition(name, number) for name in names for number in consumer.partitions_for_topic(name)]


def submit(stack: Any, cwd: Path, *arguments: str, **env: str) -> None:
    """Run `python -m jobs submit` on the stack; env: settings."""
    home = Home(stack.home)
    done = subprocess.run(
        [sys.executable, "-m", "jobs", "submit", *arguments],
        env={**environment(home, state.load(home).ports), **flink_env(home), **env},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


class Beside:
    """One job by the name <prefix>-<job> on the one slot that the stack leaves free."""

    def __init__(self, stack: Any, prefix: str, job: str) -> None:
        self._stack, self._prefix, self._job = stack, prefix, job
        self._group = f"{prefix}-{job}"
        self._kafka = stack.endpoints["kafka"]
        self._rest = FlinkRest(stack.endpoints["flink"], timeout_s=30)

    def begin(self, topic: str, begin: Begin) -> None:
        """Set where the job will begin to read."""
        with_group = KafkaConsumer(bootstrap_servers=self._kafka, group_id=self._group, enable_auto_commit=False)
        mine = partitions(with_group, topic)
        with_group.assign(mine)
        first, end = with_group.beginning_offsets(mine), with_group.end_offsets(mine)
        with_group.commit({one: OffsetAndMetadata(begin(first[one], end[one]), "", -1) for one in mine})
        with_group.close()

    def submit(self, cwd: Path, **env: str) -> None:
        """Submit the job; env: further settings."""
        # All slots but one are taken.
        alone = {"TIDEGAUGE_JOB_PREFIX": self._prefix, "TIDEGAUGE_PARALLELISM": "1"}
        submit(self._stack, cwd, self._job, **alone, **env)

    def behind(self, topic: str, ends: Mapping[TopicPartition, int]) -> int:
        """Return how many records before `ends` the job has not checkpointed yet."""
        asked = KafkaConsumer(bootstrap_servers=self._kafka, group_id=self._group, enable_auto_commit=False)
        done = {one: asked.committed(one) or 0 for one in ends}
        asked.close()
        return sum(max(0, end - done[one]) for one, end in ends.items())

    def ends(self, topic: str) -> dict[TopicPartition, int]:
        """Return where the topic's partitions end now."""
        asked = KafkaConsumer(bootstrap_servers=self._kafka)
        found: dict[TopicPartition, int] = asked.end_offsets(partitions(asked, topic))
        asked.close()
        return found

    def leave(self) -> None:
        """Cancel the job and forget its group and checkpoints."""
        jobs = self._rest.call("/jobs/overview")["jobs"]
        for job in [one["jid"] for one in jobs if one["name"] == self._group]:
            self._rest.call(f"/jobs/{job}", method="PATCH")
            while self._rest.call(f"/jobs/{job}")["state"] != "CANCELED":
                time.sleep(0.2)
            shutil.rmtree(self._stack.home / "flink" / "checkpoints" / job, ignore_errors=True)
        admin = KafkaAdminClient(bootstrap_servers=self._kafka)
        admin.delete_groups([self._group])
        admin.close()
