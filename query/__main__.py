"""python -m query: serve Prometheus's HTTP API; settings come from the environment, see query/settings.py."""

import logging
import sys

import uvicorn
from pydantic import ValidationError

from query.allocator import keep_memory
from query.app import of_settings
from query.errors import ConfigError
from query.settings import QuerySettings
from schemas.retention import RetentionError
from sinks.clickhouse import AddressError


def main() -> int:
    """Serve until a signal comes; return the exit code."""
    keep_memory()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    try:
        settings = QuerySettings()
        app = of_settings(settings)
    except (AddressError, ConfigError, RetentionError, ValidationError) as error:
        print(error, file=sys.stderr)
        return 2
    uvicorn.run(app, host=settings.host.strip("[]"), port=settings.port, log_level="warning", server_header=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
