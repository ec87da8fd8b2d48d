"""The way to the hour that a late frame lies in."""

from collections.abc import Iterator

from pyflink.common import Row
from pyflink.datastream import FlatMapFunction, RuntimeContext

from schemas import topics
from schemas.frame import Frame
from udfs.read.flink import Strays
from udfs.rollup.window import start_of

HOUR_MS = 3_600_000


class DirtyFunction(FlatMapFunction):
    """IN rows of metrics.late → (`tenant/shard/hour`, Frame). A late frame lies in one minute whole."""

    def open(self, runtime_context: RuntimeContext) -> None:
        """Count what is no frame."""
        self._strays = Strays(topics.LATE, runtime_context)

    def flat_map(self, value: Row) -> Iterator[tuple[str, bytes]]:
        """Name the frame's hour."""
        frame = self._strays.read(Frame.decode, value[0])
        if frame is not None and len(frame.timestamps):
            yield f"{frame.tenant}/{frame.shard}/{start_of(int(frame.timestamps[0]), HOUR_MS)}", value[0]
