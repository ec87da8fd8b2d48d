"""What ClickHouse's errors mean: a refusal for good, or something that a further attempt may not meet."""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clickhouse_connect.driver.exceptions import Error

# Codes that say "later", not "never", to any statement (ClickHouse, src/Common/ErrorCodes.cpp).
TRANSIENT = frozenset(
    {
        74,  # CANNOT_READ_FROM_FILE_DESCRIPTOR
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
        473,  # DEADLOCK_AVOIDED
        499,  # S3_ERROR
        745,  # SERVER_OVERLOADED
        999,  # KEEPER_EXCEPTION
        1000,  # POCO_EXCEPTION
        1001,  # STD_EXCEPTION: the file system's, among others
    }
)

# Codes that speak of the rows at hand: they cannot be put into the columns. Any other that an insert meets is about
# users, tables, quotas, disks or the server, and there are hundreds, new ones with each release. Whoever runs the
# server puts that right, and until then no block may be lost.
OF_ROWS = frozenset(
    {
        6,  # CANNOT_PARSE_TEXT
        7,  # INCORRECT_NUMBER_OF_COLUMNS
        19,  # SIZE_OF_FIXED_STRING_DOESNT_MATCH
        20,  # NUMBER_OF_COLUMNS_DOESNT_MATCH
        25,  # CANNOT_PARSE_ESCAPE_SEQUENCE
        26,  # CANNOT_PARSE_QUOTED_STRING
        27,  # CANNOT_PARSE_INPUT_ASSERTION_FAILED
        38,  # CANNOT_PARSE_DATE
        41,  # CANNOT_PARSE_DATETIME
        43,  # ILLEGAL_TYPE_OF_ARGUMENT: no conversion to the column's type
        44,  # ILLEGAL_COLUMN
        50,  # UNKNOWN_TYPE
        53,  # TYPE_MISMATCH
        69,  # ARGUMENT_OUT_OF_BOUND
        70,  # CANNOT_CONVERT_TYPE
        72,  # CANNOT_PARSE_NUMBER
        117,  # INCORRECT_DATA
        128,  # TOO_LARGE_ARRAY_SIZE
        130,  # CANNOT_READ_ARRAY_FROM_TEXT
        131,  # TOO_LARGE_STRING_SIZE
        190,  # SIZES_OF_ARRAYS_DONT_MATCH
        307,  # TOO_MANY_BYTES: of the body, or of what the server reads
        321,  # VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
        349,  # CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
        366,  # SIZES_OF_NESTED_COLUMNS_ARE_INCONSISTENT
        376,  # CANNOT_PARSE_UUID
        386,  # NO_COMMON_TYPE
        395,  # FUNCTION_THROW_IF_VALUE_IS_NON_ZERO: a check that an operator wrote
        407,  # DECIMAL_OVERFLOW
        467,  # CANNOT_PARSE_BOOL
        469,  # VIOLATED_CONSTRAINT
        563,  # CANNOT_READ_MAP_FROM_TEXT
        691,  # UNKNOWN_ELEMENT_OF_ENUM
        760,  # UNICODE_ERROR
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


def judged(error: "Error", final: frozenset[int] | None = None) -> ClickhouseError | Later:
    """Return what an error of the library means: refused for good, or worth a further attempt.

    final: the only codes that are a refusal; by default all but TRANSIENT are.
    """
    from clickhouse_connect.driver.exceptions import OperationalError

    if error.code is not None:
        return _by_code(error.code, str(error), final)
    status = _STATUS.search(str(error))
    # Without a code it is the connection, or something that stands before the server.
    code = int(status.group(1)) if status else 0
    if isinstance(error, OperationalError) or code >= 500 or (final is not None and code != _TOO_LARGE):
        return Later(str(error)[:300])
    return ClickhouseError(0, str(error))


def _by_code(code: int, message: str, final: frozenset[int] | None = None) -> ClickhouseError | Later:
    later = code in TRANSIENT if final is None else code not in final
    return Later(message[:300]) if later else ClickhouseError(code, message[:2000])


def raise_late(tag: str | None, answer: bytes, final: frozenset[int] | None = None) -> None:
    """Raise if the answer, begun with status 200, ends in an error."""
    if not tag:
        return
    begin = answer.rfind(b"__exception__\r\n" + tag.encode(), -65536 if len(answer) > 65536 else 0)
    if begin >= 0:
        text = answer[begin:]
        found = _CODE.search(text)
        raise _by_code(int(found.group(1)) if found else 1002, text.decode(errors="replace").strip(), final)
