"""What a request must have before anything of it is read: the right host and the right token."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any, final

from deft.errors import DeftError, InvalidInput
from deft.priors.remote.connection import error_body

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN = ("/health",)
"""What is answered without a token."""


@final
class Guard:
    """An application that answers those alone who have the token, and who call it by one of
    `hosts` (all names, where there are none).

    Tokens are compared in constant time, by their hashes. Where `hosts` are given, a page of
    another site cannot reach a server on the loopback under a name of its own.
    """

    def __init__(self, app: App, token: str | None, hosts: Collection[str]) -> None:
        self.app, self.hosts = app, hosts
        self._hash = None if token is None else _hashed(token.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = dict(scope["headers"])  # the last of those that are there twice
        host = headers.get(b"host", b"").decode("latin-1").lower()
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        if self.hosts and name not in self.hosts:
            await refuse(send, 421, InvalidInput("Host", given=host, expected="this machine"))
        elif scope["path"] not in OPEN and not self._knows(headers.get(b"authorization", b"")):
            error = InvalidInput("token", expected="Authorization: Bearer, with the right token")
            await refuse(send, 401, error, (b"www-authenticate", b"Bearer"))
        else:
            await self.app(scope, receive, send)

    def _knows(self, given: bytes) -> bool:
        if self._hash is None:
            return True
        kind, _, token = given.partition(b" ")
        same = hmac.compare_digest(_hashed(token.strip()), self._hash)
        return same and kind.lower() == b"bearer"


async def refuse(send: Send, status: int, error: DeftError, *more: tuple[bytes, bytes]) -> None:
    """Answer with an error, and end the connection: its body was not read."""
    body = error_body(error)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
        *more,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _hashed(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
