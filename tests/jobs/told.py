"""Prints what a job that is submitted to a cluster is told, an option a line: `key value`."""

from jobs.__main__ import cluster
from jobs.reroll import build
from jobs.settings import JobSettings

streams = build(JobSettings(), cluster("127.0.0.1:1"))
streams._statements.attach_as_datastream()
told = streams.env._j_stream_execution_environment.getStreamGraph(False).getJobConfiguration().toMap()
for key in told:
    print(key, told[key])
