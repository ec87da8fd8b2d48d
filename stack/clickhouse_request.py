"""One request to ClickHouse's HTTP interface, read: who asks for what, with which settings."""

import base64
import binascii
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from stack.clickhouse_body import Body, Headers
from stack.clickhouse_errors import AUTHENTICATION_FAILED, Refused
from stack.clickhouse_server import User

# Parameters of the URL that are not settings of a query.
_TRANSPORT = frozenset(
    re.findall(
        r"\w+",
        """
        query database user password default_format session_id session_timeout session_check close_session query_id
        quota_key wait_end_of_query buffer_size compress decompress client_protocol_version role stacktrace
        enable_http_compression send_progress_in_http_headers http_headers_progress_interval_ms
        http_zlib_compression_level add_http_cors_header
        """,
    )
)


@dataclass(slots=True)
class Request:
    """What a request asks for, once its URL and headers are read."""

    params: dict[str, str]
    body: Body
    query_id: str
    user: User
    may_change: bool

    @property
    def settings(self) -> dict[str, str]:
        """The settings among the URL's parameters."""
        found = {k: v for k, v in self.params.items() if k not in _TRANSPORT and not k.startswith("param_")}
        if not self.may_change:
            found.setdefault("readonly", "2")
        return found

    @property
    def bound(self) -> dict[str, str]:
        """The parameters {name:Type} of the statement."""
        return {k.removeprefix("param_"): v for k, v in self.params.items() if k.startswith("param_")}

    @property
    def database(self) -> str:
        """The database that unqualified names mean; empty for ClickHouse's default."""
        return self.params.get("database", "")


def is_local(host: str) -> bool:
    """Tell whether a Host header names localhost or an address, with or without a port."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or bool(ip_address(name))
    except ValueError:
        return False


def user_of(params: Mapping[str, str], headers: Headers, users: Mapping[str, User]) -> User:
    """Return who asks, by the URL's user and password, X-ClickHouse-User and -Key, or Basic; raises Refused."""
    name, password = params.get("user", "default"), params.get("password", "")
    basic = headers.get("Authorization") or ""
    if header := headers.get("X-ClickHouse-User"):
        name, password = header, headers.get("X-ClickHouse-Key") or ""
    elif basic.lower().startswith("basic "):
        try:
            pair = base64.b64decode(basic[6:], validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            pair = ":"
        name, _, password = pair.partition(":")
    user = users.get(name)
    # Compared even for an unknown name, so that names cannot be told by the time it takes.
    good = hmac.compare_digest((user.password if user else "").encode(), password.encode())
    if user is None or not good:
        detail = "wrong user name or password (TIDEGAUGE_CLICKHOUSE_USER, TIDEGAUGE_CLICKHOUSE_PASSWORD)"
        raise Refused.here(AUTHENTICATION_FAILED, "TG-clickhouse-auth", detail)
    return user
