"""Paths as clients join them whose base URL ends in a slash."""

from starlette.types import ASGIApp, Receive, Scope, Send


class Slashes:
    """Takes `//api/v1/query` for `/api/v1/query`; Prometheus redirects there."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and scope["path"].startswith("//"):
            scope = {**scope, "path": f"/{scope['path'].lstrip('/')}"}
        await self._app(scope, receive, send)
