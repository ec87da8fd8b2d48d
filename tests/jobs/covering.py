"""Prints `planned now groups reached`: how many of `now` subtasks the keys get to that are to reach every one."""

from pyflink.java_gateway import get_gateway

from jobs.settings import JobSettings
from jobs.streams import Streams

for planned in range(1, 13):
    keys = Streams("alert", JobSettings(parallelism=planned)).covering("heard/")
    groups = get_gateway().jvm.org.apache.flink.runtime.state.KeyGroupRangeAssignment
    most = groups.computeDefaultMaxParallelism(planned)
    for now in range(1, planned + 1):
        print(planned, now, most, len({groups.assignKeyToParallelOperator(key, most, now) for key in keys}))
