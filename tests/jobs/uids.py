"""Prints of the jobs named on the command line, one a line: `job vertex-id`, and `at-once job operator`."""

import importlib
import sys

from jobs.settings import JobSettings

for name in sys.argv[1:]:
    streams = importlib.import_module(f"jobs.{name}").build(JobSettings())
    for vertex in streams.vertices():
        print(name, vertex)
    for node in streams.env._j_stream_execution_environment.getStreamGraph(False).getStreamNodes().toArray():
        if node.getBufferTimeout() == 0:
            print("at-once", name, node.getOperatorName())
