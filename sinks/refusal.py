"""What ClickHouse's errors mean: a refusal for good, or something that a further attempt may not meet."""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clickhouse_connect.driver.exceptions import Error

# Codes that say "later", not "never" (ClickHouse, src/Common/ErrorCodes.cpp).
TRANSIENT = frozenset(
    {
        75,  # CANNOT_WRITE_TO_FILE_DESCRIPTOR
        76,  # CANNOT_OPEN_FILE
        159,  # TIMEOUT_EXCEEDED
        173,  # CANNOT_ALLOCATE_MEMORY
        198,  # DNS_ERROR
        202,  # TOO_MANY_SIMULTANEOUS_QUERIES
        209,  # SOCKET_TIMEOUT
        210,  # NETWORK_ERROR
        225,  # NO_ZOOKEEPER
        236,  # ABORTED: the server is stopping
        241,  # MEMORY_LIMIT_EXCEEDED
        242,  # TABLE_IS_READ_ONLY
        243,  # NOT_ENOUGH_SPACE
        252,  # TOO_MANY_PARTS
        279,  # ALL_CONNECTION_TRIES_FAILED
        285,  # TOO_FEW_LIVE_REPLICAS
        286,  # UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE
        319,  # UNKNOWN_STATUS_OF_INSERT
        394,  # QUERY_WAS_CANCELLED
        439,  # CANNOT_SCHEDULE_TASK
        499,  # S3_ERROR
        745,  # SERVER_OVERLOADED
        999,  # KEEPER_EXCEPTION
    }
)

# Codes that speak of users and tables, not of the block at hand: a password was changed, a migration is not done, a
# quota is used up. Whoever runs the server puts that right, and until then no block may be lost.
OF_OPERATORS = frozenset(
    {
        0,  # none: a setting that the user may not change, or what stands before the server says no
        16,  # NO_SUCH_COLUMN_IN_TABLE
        60,  # UNKNOWN_TABLE
        81,  # UNKNOWN_DATABASE
        164,  # READONLY
        192,  # UNKNOWN_USER
        193,  # WRONG_PASSWORD
        194,  # REQUIRED_PASSWORD
        195,  # IP_ADDRESS_NOT_ALLOWED
        201,  # QUOTA_EXCEEDED
        218,  # TABLE_IS_DROPPED
        291,  # DATABASE_ACCESS_DENIED
        497,  # ACCESS_DENIED
        516,  # AUTHENTICATION_FAILED
    }
)

_STATUS = re.compile(r"HTTP status (\d{3})")
_TOO_LARGE = 413  # whoever says so will say it again
_CODE = re.compile(rb"Code: (\d+)\.")


class ClickhouseError(Exception):
    """ClickHouse's own refusal: its code and message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class RefusedBlock(ClickhouseError):
    """A block of rows that ClickHouse will not take however often it is sent."""


class Unavailable(Exception):
    """TG-clickhouse-unavailable: every attempt failed for a reason that may pass."""


class Later(Exception):
    """One attempt failed in a way that a further one may not."""


def judged(error: "Error", passing: frozenset[int] = frozenset()) -> ClickhouseError | Later:
    """Return what an error of the library means: refused for good, or worth a further attempt.

    passing: codes that are worth one too.
    """
    from clickhouse_connect.driver.exceptions import OperationalError

    if error.code is not None:
        return Later(str(error)[:300]) if error.code in passing else _by_code(error.code, str(error))
    status = _STATUS.search(str(error))
    # Without a code it is the connection, or something that stands before the server.
    code = int(status.group(1)) if status else 0
    if isinstance(error, OperationalError) or code >= 500 or (0 in passing and code != _TOO_LARGE):
        return Later(str(error)[:300])
    return ClickhouseError(0, str(error))


def _by_code(code: int, message: str) -> ClickhouseError | Later:
    return Later(message[:300]) if code in TRANSIENT else ClickhouseError(code, message[:2000])


def raise_late(tag: str | None, answer: bytes) -> None:
    """Raise if the answer, begun with status 200, ends in an error."""
    if not tag:
        return
    begin = answer.rfind(b"__exception__\r\n" + tag.encode(), -65536 if len(answer) > 65536 else 0)
    if begin >= 0:
        text = answer[begin:]
        found = _CODE.search(text)
        raise _by_code(int(found.group(1)) if found else 1002, text.decode(errors="replace").strip())
