"""The application that serves a prior: GET /health, /card, /counts, /openapi.json, POST /denoise.

    POST /denoise    x_t (n, *event) float32, t (n,) or (1,), and the context, as safetensors
                     -> x_0_hat (n, *event) float32, as safetensors

What is wrong with a request is said as {"error": {"what", "given", "expected", "advice"}}.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, final

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse, Response
from starlette.requests import ClientDisconnect

import deft
from deft.errors import DeftError, InvalidInput, says_no_memory
from deft.priors.base import Prior
from deft.priors.remote import wire
from deft.priors.remote.card import Limits, mark, served_card
from deft.priors.remote.connection import MARK, error_body
from deft.serving.asked import asked
from deft.serving.batches import Asked, Batches, Busy, check_answer

_BODIES = 16
"""How many of the longest bodies are read at once."""
_log = logging.getLogger("deft.serving")
_BINARY = {wire.MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}
_PART = {"anyOf": [{"type": "string"}, {"type": "null"}]}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["what", "given", "expected", "advice"],
            "properties": dict.fromkeys(("what", "given", "expected", "advice"), _PART),
        }
    },
}
_WHY = {
    400: "no Content-Length that can be read, or a body that breaks off",
    401: "no token, or a wrong one",
    408: "the body did not arrive in time",
    413: "the body is too long",
    415: "the body is of another type",
    421: "the request is for another host",
    422: "the body is no safetensors file, or not one that the prior can be asked",
    429: "too many requests wait",
    500: "the prior failed",
    503: "no room on the device, or no answer in time",
}


@final
@dataclass
class Held:
    """Bytes of bodies that are being read, of all clients together, and how many may be."""

    most: int
    bytes: int = 0


def application(batches: Batches, limits: Limits, timeout: float) -> FastAPI:
    """The application around a prior. Raises `InvalidInput` for one that cannot be served."""
    prior = batches.prior
    card = {**served_card(prior, limits), "version": deft.__version__}
    marked = {MARK: mark(card)}

    async def health() -> Response:
        return JSONResponse({"status": "ok"})

    async def said() -> Response:
        return JSONResponse(card, headers=marked)

    async def counts() -> Response:
        return JSONResponse(asdict(batches.served), headers=marked)

    held = Held(_BODIES * limits.bytes)

    async def denoise(request: Request) -> Response:
        body = bytearray()
        try:
            await asyncio.wait_for(_read(request, body, limits.bytes, held), timeout)
        except TimeoutError:
            return _error(408, InvalidInput("body", expected=f"all of it within {timeout:g} s"))
        except Busy:
            return _busy()
        except InvalidInput as error:
            return _error(413 if error.what == "Content-Length" else 415, error)
        except (ValueError, ClientDisconnect) as error:
            return _error(400, InvalidInput("request", given=str(error)))
        finally:
            held.bytes -= len(body)
        try:
            what = asked(body, prior, limits)
            del body
            answer = await asyncio.wait_for(asyncio.wrap_future(batches.ask(what)), timeout)
            check_answer(answer)
        except Busy:
            return _busy()
        except (TimeoutError, asyncio.CancelledError):
            return _error(503, InvalidInput("prior", expected=f"an answer in {timeout:g} s"))
        except DeftError as error:
            return _error(422, error)
        except Exception as error:
            return _failed(error, what, prior)
        content = wire.packed({"x_0_hat": answer})
        return Response(content, media_type=wire.MEDIA_TYPE, headers=marked)

    app = FastAPI(title="deft serve-prior", version=deft.__version__, docs_url=None, redoc_url=None)
    app.add_api_route("/health", health, methods=["GET"], response_class=JSONResponse)
    for path, route in (("/card", said), ("/counts", counts)):
        app.add_api_route(
            path,
            route,
            methods=["GET"],
            response_class=JSONResponse,
            responses=_errors(401, 421),
            openapi_extra={"security": [{"bearer": []}]},
        )
    app.add_api_route(
        "/denoise",
        denoise,
        methods=["POST"],
        response_class=Response,
        responses={200: {"description": "x_0_hat", "content": _BINARY}, **_errors(*_WHY)},
        openapi_extra={
            "security": [{"bearer": []}],
            "requestBody": {"required": True, "content": _BINARY},
        },
    )
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign, unused-ignore]
    return app


async def _read(request: Request, body: bytearray, most: int, held: Held) -> None:
    """Read the body. Raises `InvalidInput` for one of another type, or one that is too long, as
    soon as that is known, and `Busy` where too much is being read.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != wire.MEDIA_TYPE:
        raise InvalidInput("Content-Type", given=kind or "nothing", expected=wire.MEDIA_TYPE)
    too_long = InvalidInput("Content-Length", given="more", expected=f"at most {most:,} bytes")
    if int(request.headers.get("content-length", "0")) > most:
        raise too_long
    async for chunk in request.stream():
        body += chunk
        held.bytes += len(chunk)
        if len(body) > most:
            raise too_long
        if held.bytes > held.most:
            raise Busy


def _busy() -> Response:
    return _error(429, InvalidInput("requests", expected="fewer at once"))


def _error(status: int, error: DeftError) -> Response:
    """An error. The connection ends where the body may not have been read."""
    headers = {"Connection": "close"} if status in (400, 408, 413, 415, 429) else {}
    return Response(error_body(error), status, headers, media_type="application/json")


def _failed(error: Exception, what: Asked, prior: Prior) -> Response:
    """What to say where the prior failed; how it did is for the server's own log."""
    if says_no_memory(error):
        _log.warning("no room for %s signals", len(what.x_t))
        return _error(503, InvalidInput("x_t", expected="fewer signals: there is no room"))
    missing = set(prior.takes) - {*what.context, *prior.context.values}
    if missing:
        text = f"a tensor: {prior.name} is not asked without it"
        return _error(422, InvalidInput(min(missing), given="nothing", expected=text))
    _log.error("the prior failed", exc_info=error)
    kind = type(error).__name__
    return _error(500, InvalidInput("the prior", given=kind, expected="an estimate"))


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    content = {"application/json": {"schema": _ERROR}}
    return {status: {"description": _WHY[status], "content": content} for status in statuses}


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The schema, with the token."""
    if app.openapi_schema is None:
        schema: dict[str, Any] = get_openapi(
            title=app.title, version=app.version, routes=app.routes
        )
        bearer: Mapping[str, str] = {"type": "http", "scheme": "bearer"}
        schema.setdefault("components", {})["securitySchemes"] = {"bearer": bearer}
        app.openapi_schema = schema
    found: dict[str, Any] = app.openapi_schema
    return found
