"""An answer on its way: in pieces, within a time, so that who reads slowly does not keep it in memory for ever."""

import asyncio
import logging
from collections.abc import Callable, Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from query.metrics import UNSENT

# What the server has of an answer that nobody takes: it waits before it accepts the next piece.
PIECE_BYTES = 1 << 16

log = logging.getLogger(__name__)


class Sending(Response):
    """JSON that a client has within_s to receive; sent: called when it is sent, or given up."""

    media_type = "application/json"

    def __init__(
        self,
        body: bytes,
        status: int,
        headers: Mapping[str, str] | None,
        within_s: float,
        sent: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(body, status, headers)
        self._within_s = within_s
        self._sent = sent

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it. What is not taken in time is cut off: the server closes a connection whose answer is not whole."""
        try:
            async with asyncio.timeout(self._within_s):
                await self._send(send)
        except TimeoutError:
            UNSENT.inc()
            log.warning(
                "TG-query-unsent: an answer of %d bytes was not taken within %g s (TIDEGAUGE_QUERY_SEND_S)",
                len(self.body),
                self._within_s,
            )
        finally:
            self.body = b""
            if self._sent is not None:
                self._sent()

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        body = memoryview(self.body)
        for first in range(0, max(len(body), 1), PIECE_BYTES):
            piece, end = body[first : first + PIECE_BYTES], first + PIECE_BYTES
            await send({"type": "http.response.body", "body": bytes(piece), "more_body": end < len(body)})
