"""What can go wrong between a query's text and its answer."""

PARSE = "TG-promql-parse"
UNSUPPORTED = "TG-promql-unsupported"
NESTING = "TG-promql-nesting"
EXECUTION = "TG-promql-execution"


class PromqlError(Exception):
    """A query that has no answer. `id` is stable; ids other than EXECUTION and UNSUPPORTED mean a bad text."""

    def __init__(self, error_id: str, message: str) -> None:
        super().__init__(message)
        self.id = error_id
        self.message = message

    def __str__(self) -> str:
        """Return the message with its id, as users see it."""
        return f"{self.message} [{self.id}]"


def unsupported(feature: str) -> PromqlError:
    """Return the error for a feature of PromQL that is refused here."""
    return PromqlError(UNSUPPORTED, f"{feature} is not supported by this version of Tidegauge")
