"""ClickHouse without a clickhouse-server: python -m stack.clickhouse --path DIR --host 127.0.0.1 --port 8123.

The same engine (chdb) behind ClickHouse's HTTP interface: clickhouse-connect, curl and Grafana work unchanged.
SIGTERM and SIGINT stop it: no new requests, running ones are waited for, then the engine shuts down.
"""

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from sinks.bounded import Bounded
from stack import limits


class ClickhouseSettings(Bounded):
    """Settings of the embedded ClickHouse; each by the environment, prefix TIDEGAUGE_CLICKHOUSE_."""

    model_config = SettingsConfigDict(env_prefix="TIDEGAUGE_CLICKHOUSE_", extra="forbid")

    user: str = Field(default="default", description="Name of the user who may read and write. Default: default.")
    password: str = Field(default="", description="Password of that user. Default: none, for the loopback only.")
    readonly_user: str = Field(
        default="", description="Name of a user who may only read. Default: empty, there is none."
    )
    readonly_password: str = Field(default="", description="Password of the user who may only read. Default: none.")
    max_body_bytes: int = Field(
        default=512 << 20, gt=0, description="Largest request body, compressed and not. Default: 512 MiB."
    )
    timeout_s: float = Field(default=300.0, gt=0, description="Longest run of one statement, seconds. Default: 300.")
    max_query_memory_bytes: int = Field(
        default=4 << 30, gt=0, description="Most memory of one statement, bytes. Default: 4 GiB."
    )
    max_queries: int = Field(default=32, gt=0, description="Most statements running at once. Default: 32.")
    max_wait_s: float = Field(
        default=10.0, ge=0, description="Longest wait for a place among them, seconds. Default: 10."
    )
    stop_s: float = Field(
        default=20.0, gt=0, description="Longest wait for running statements when stopping, seconds. Default: 20."
    )


def serve(path: str, host: str, port: int, settings: ClickhouseSettings) -> int:
    """Serve until a signal comes; return the exit code. path: the data directory, made if it is not there."""
    # Before the engine starts: its default time zone is that of the process.
    os.environ["TZ"] = "UTC"
    from stack.clickhouse_engine import Access, Engine
    from stack.clickhouse_errors import Refused
    from stack.clickhouse_http import Handler
    from stack.clickhouse_server import Server, User

    limits.lift()
    if (most := limits.file_size()) is not None:
        print(
            f"TG-file-size: no file may be larger than {most} bytes (ulimit -f): what does not fit would be cut off, "
            "and answered as stored",
            file=sys.stderr,
        )
        return 1
    os.makedirs(path, mode=0o700, exist_ok=True)
    try:
        engine = Engine(os.path.abspath(path))
    except Refused as refusal:
        print(f"TG-clickhouse-start: cannot open the data directory {path}: {refusal}", file=sys.stderr)
        return 1
    rights = (settings.timeout_s, settings.max_query_memory_bytes)
    users = [User(settings.user, settings.password, Access(False, *rights))]
    if settings.readonly_user:
        users.append(User(settings.readonly_user, settings.readonly_password, Access(True, *rights)))
    try:
        server = Server(
            (host, port), engine, users, settings.max_body_bytes, settings.max_queries, settings.max_wait_s, Handler
        )
    except OSError as error:
        print(f"TG-clickhouse-port: cannot listen on {host}:{port}: {error}", file=sys.stderr)
        engine.close()
        return 1

    def stop(*_: object) -> None:
        # shutdown() waits for serve_forever, which runs in this very thread.
        threading.Thread(target=server.shutdown, daemon=True).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    print(f"ClickHouse {engine.version} (embedded) on http://{host}:{server.server_address[1]}/", flush=True)
    server.serve_forever(poll_interval=0.1)
    server.server_close()
    if not server.drain(settings.stop_s):
        print("TG-clickhouse-stop: statements were still running when the time to stop was over", file=sys.stderr)
        # The engine must not be torn down under them; its writes are atomic, so leaving is safe.
        sys.stderr.flush()
        os._exit(1)
    engine.close()
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m stack.clickhouse", description=__doc__)
    parser.add_argument("--path", required=True, help="data directory; one process owns it")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8123, help="port, 0 for any free one (default 8123)")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    return serve(args.path, args.host, args.port, ClickhouseSettings())


if __name__ == "__main__":
    sys.exit(main())
