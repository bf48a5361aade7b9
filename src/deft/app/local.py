"""What stands between the page and who calls it: this machine alone, and no site but its own.

A page of another site that the same browser has open cannot reach it: neither under a name of its
own (the host is compared) nor by sending forms (the origin is compared). The browser is told to
load nothing from elsewhere.
"""

from __future__ import annotations

from typing import Any, final
from urllib.parse import urlsplit

from deft.errors import InvalidInput
from deft.serving.guard import App, Guard, Receive, Scope, Send, refuse

HOSTS = ("localhost", "127.0.0.1", "[::1]")
POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)


@final
class Local:
    """An application that answers this machine, and pages that it served itself."""

    def __init__(self, app: App) -> None:
        self.app = app
        self._guarded = Guard(self._own, None, HOSTS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        else:
            await self._guarded(scope, receive, send)

    async def _own(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        origin = headers.get(b"origin", b"").decode("latin-1").lower()
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if origin and urlsplit(origin).netloc != host:
            await refuse(send, 403, InvalidInput("Origin", given=origin, expected=f"http://{host}"))
            return

        async def marked(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *_HEADERS]}
            await send(message)

        await self.app(scope, receive, marked)
