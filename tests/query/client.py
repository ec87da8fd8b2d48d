"""A client of an ASGI application in the same process. starlette's own wants a package that is not in the lock file."""

import asyncio
from typing import Any, Self

import httpx
from starlette.applications import Starlette


class Client:
    """Calls the application without a socket, all in one event loop."""

    def __init__(self, app: Starlette) -> None:
        self._app = app
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.close()

    def get(self, path: str, **request: Any) -> httpx.Response:
        return self._runner.run(self._send("GET", path, request))

    def post(self, path: str, **request: Any) -> httpx.Response:
        return self._runner.run(self._send("POST", path, request))

    def options(self, path: str, **request: Any) -> httpx.Response:
        return self._runner.run(self._send("OPTIONS", path, request))

    async def _send(self, method: str, path: str, request: dict[str, Any]) -> httpx.Response:
        transport = httpx.ASGITransport(self._app)
        async with httpx.AsyncClient(transport=transport, base_url="http://query") as client:
            return await client.request(method, path, **request)


def ask(api: Client, path: str, **params: Any) -> tuple[int, Any]:
    """Return the status and the JSON of a GET."""
    answer = api.get(path, params=params)
    assert answer.headers["content-type"] == "application/json"
    return answer.status_code, answer.json()
