"""The way to the hour that a late frame lies in."""

from pyflink.common import Row
from pyflink.datastream import MapFunction

from schemas.batch import Frame
from udfs.rollup.window import start_of

HOUR_MS = 3_600_000


class DirtyFunction(MapFunction):
    """IN rows of metrics.late → (`tenant/shard/hour`, Frame). A late frame lies in one minute whole."""

    def map(self, value: Row) -> tuple[str, bytes]:
        """Name the frame's hour."""
        frame = Frame.decode(value[0])
        return f"{frame.tenant}/{frame.shard}/{start_of(int(frame.timestamps[0]), HOUR_MS)}", value[0]
