"""What the API refuses, as Prometheus's envelope and status codes tell it."""

from promql.errors import EXECUTION, UNSUPPORTED, PromqlError

UNAVAILABLE = "TG-query-unavailable"


class ConfigError(Exception):
    """The service cannot start as configured."""

    def __init__(self, error_id: str, message: str) -> None:
        super().__init__(f"{error_id}: {message}")


class QueryError(Exception):
    """A refusal: HTTP status, Prometheus's errorType, a stable id and a message for people."""

    def __init__(self, status: int, kind: str, error_id: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.id = error_id
        self.message = f"{message} [{error_id}]"


def bad_data(error_id: str, message: str) -> QueryError:
    """Return the error for a request that is wrong in itself."""
    return QueryError(400, "bad_data", error_id, message)


def refused(error_id: str, message: str) -> QueryError:
    """Return the error for a valid query that is not answered."""
    return QueryError(422, "execution", error_id, message)


def unavailable(message: str) -> QueryError:
    """Return the error for a store that cannot be reached."""
    return QueryError(503, "unavailable", UNAVAILABLE, message)


def timeout(seconds: float) -> QueryError:
    """Return the error for a query that took too long."""
    limit = f"{seconds:g} s (TIDEGAUGE_QUERY_TIMEOUT_S, parameter timeout)"
    return QueryError(503, "timeout", "TG-query-timeout", f"query timed out: it took longer than {limit}")


def canceled() -> QueryError:
    """Return the error for a client that has gone; only the log and the metrics hear of it."""
    return QueryError(499, "canceled", "TG-query-canceled", "the client went away")


def of_promql(error: PromqlError) -> QueryError:
    """Return the API's form of an evaluator's error."""
    make = refused if error.id in (EXECUTION, UNSUPPORTED) else bad_data
    return make(error.id, error.message)
