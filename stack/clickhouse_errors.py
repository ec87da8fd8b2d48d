"""ClickHouse's error codes and the HTTP status each answers with.

Source: ClickHouse, src/Server/HTTP/exceptionCodeToHTTPStatus.cpp.
"""

import re
from collections.abc import Iterable

BAD_ARGUMENTS = 36
NOT_IMPLEMENTED = 48
SYNTAX_ERROR = 62
TOO_SLOW = 160
TIMEOUT_EXCEEDED = 159
READONLY = 164
QUERY_IS_TOO_LARGE = 307
TOO_MANY_SIMULTANEOUS_QUERIES = 202
NETWORK_ERROR = 210
UNKNOWN_STATUS_OF_INSERT = 319
ACCESS_DENIED = 497
AUTHENTICATION_FAILED = 516
UNKNOWN = 1002

_CODE = re.compile(r"Code: (\d+)\.")


def _status(status: int, codes: Iterable[int]) -> dict[int, int]:
    return dict.fromkeys(codes, status)


# 400: what the client wrote cannot be read; 404: what it names does not exist; the rest speak for themselves.
_STATUS = {
    **_status(400, (6, 25, 26, 27, 33, 36, 38, 41, 43, 53, 62, 69, 72, 117, 130, 131, 190, 321, 427, 441, 456, 457)),
    **_status(403, (192, 193, AUTHENTICATION_FAILED)),
    **_status(404, (46, 47, 50, 56, 60, 63, 73, 81, 115, 152, 336, 78, 108)),
    **_status(408, (TIMEOUT_EXCEEDED,)),
    **_status(413, (QUERY_IS_TOO_LARGE,)),
    **_status(501, (NOT_IMPLEMENTED,)),
    **_status(503, (TOO_MANY_SIMULTANEOUS_QUERIES, 439)),
}


class Refused(Exception):
    """A request that is answered with an error: ClickHouse's code, its message, an HTTP status."""

    def __init__(self, code: int, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.status = status or _STATUS.get(code, 500)

    @classmethod
    def of_engine(cls, error: Exception) -> "Refused":
        """Return the refusal that an exception of the engine stands for; its text carries the code."""
        text = str(error)
        found = _CODE.search(text)
        return cls(int(found.group(1)) if found else UNKNOWN, text)

    @classmethod
    def here(cls, code: int, tg_id: str, detail: str, status: int | None = None) -> "Refused":
        """Return a refusal of this server itself, in ClickHouse's form with a stable id of ours."""
        return cls(code, f"Code: {code}. DB::Exception: {tg_id}: {detail}", status)
