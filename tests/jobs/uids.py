"""Prints of the jobs named on the command line, one a line: `job vertex-id`, and `at-once job operator`.

`rollup@8` is rollup with eight shards a tenant, and so it is named.
"""

import importlib
import sys

from jobs.settings import JobSettings

for name in sys.argv[1:]:
    job, _, shards = name.partition("@")
    settings = JobSettings(shards=int(shards)) if shards else JobSettings()
    streams = importlib.import_module(f"jobs.{job}").build(settings)
    streams._statements.attach_as_datastream()  # as submit does
    for vertex in (
        streams.env._j_stream_execution_environment.getStreamGraph(False).getJobGraph().getVertices().toArray()
    ):
        print(name, vertex.getID().toString())
    for node in streams.env._j_stream_execution_environment.getStreamGraph(False).getStreamNodes().toArray():
        if node.getBufferTimeout() == 0:
            print("at-once", name, node.getOperatorName())
