"""Who may call the page: this machine, and pages that it served itself."""

import asyncio

import pytest

from deft.app.local import Local


async def _page(scope, receive, send):
    if scope["type"] == "lifespan":
        await send({"type": "lifespan.startup.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})
    await send({"type": "http.response.body", "body": b"page"})


def answered(kind="http", **headers):
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    named = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": kind, "path": "/", "method": "POST", "headers": named}
    asyncio.run(Local(_page)(scope, receive, send))
    return sent


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost:7860", "[::1]:7860", "localhost"])
def test_this_machine_is_answered(host):
    start, body = answered(host=host, origin=f"http://{host}")
    assert start["status"] == 200
    assert body["body"] == b"page"
    headers = dict(start["headers"])
    assert headers[b"a"] == b"b"
    policy = headers[b"content-security-policy"].decode()
    assert "default-src 'self'" in policy
    assert "http" not in policy  # nothing from elsewhere
    assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", ""]
)
def test_another_name_of_this_machine_is_not(host):
    start, _ = answered(host=host)
    assert start["status"] == 421


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:8000", "http://localhost:7860"]
)
def test_a_page_of_another_site_is_not(origin):
    start, body = answered(host="127.0.0.1:7860", origin=origin)
    assert start["status"] == 403
    assert b"page" not in body["body"]


def test_sockets_of_the_web_are_not_opened():
    assert answered("websocket", host="127.0.0.1:7860") == []


def test_the_life_of_the_application_begins():
    assert answered("lifespan") == [{"type": "lifespan.startup.complete"}]
