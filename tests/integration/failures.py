"""When jobs failed, by what Flink remembers of them."""

from stack.rest import FlinkRest
from tests.integration.pipeline import Pipeline


def failures(pipeline: Pipeline) -> dict[str, int]:
    """Return by job when it last failed, ms; 0: never."""
    rest = FlinkRest(pipeline.stack.endpoints["flink"], timeout_s=30)
    histories = {name: rest.call(f"/jobs/{job.id}/exceptions") for name, job in rest.jobs().items()}
    return {
        name: max((entry["timestamp"] for entry in history["exceptionHistory"]["entries"]), default=0)
        for name, history in histories.items()
    }
