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
    for vertex in streams.vertices():
        print(name, vertex)
    for node in streams.env._j_stream_execution_environment.getStreamGraph(False).getStreamNodes().toArray():
        if node.getBufferTimeout() == 0:
            print("at-once", name, node.getOperatorName())
