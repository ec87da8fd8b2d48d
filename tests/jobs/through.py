"""Prints the plan of a job that writes to the topic on the command line, then what the jobs' source reads there."""

import sys
import time

from jobs.settings import JobSettings
from jobs.streams import OUT, Streams

(topic,) = sys.argv[1:]
streams = Streams("through", JobSettings())
streams.source(topic)
streams.sink(streams.env.from_collection([(b"k", b"from flink", time.time_ns() // 1_000_000)], OUT), topic)
streams._statements.attach_as_datastream()
print(streams.env._j_stream_execution_environment.getStreamGraph(False).getStreamingPlanAsJSON())
streams.env.execute_async()
with streams._tables.execute_sql(f"SELECT v FROM source_{topic.replace('.', '_')}_1").collect() as rows:
    print(bytes(next(rows)[0]))
