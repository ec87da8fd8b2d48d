"""Prints the vertices of the job graphs of the jobs named on the command line: `job vertex-id`, one a line."""

import importlib
import sys

from jobs.settings import JobSettings

for name in sys.argv[1:]:
    streams = importlib.import_module(f"jobs.{name}").build(JobSettings())
    for vertex in streams.vertices():
        print(name, vertex)
