"""The server: a socket, uvicorn in a thread of its own, and a clean end on signals."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib import import_module
from typing import Any

from deft import checks, signals
from deft.errors import InvalidInput
from deft.priors.base import Prior
from deft.priors.remote.card import Limits
from deft.priors.remote.connection import is_loopback
from deft.serving.batches import Batches, Served
from deft.serving.guard import Guard

_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_CONNECTIONS = 128
_HEAD = 16_384  # bytes of the head of a request
_START = 60.0  # seconds


@contextmanager
def running(
    prior: Prior,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    token: str | None = None,
    batch_size: int = 64,
    megabytes: float | None = None,
    timeout: float = 60.0,
    wait: float = 0.002,
) -> Iterator[tuple[str, Served]]:
    """A server within the block: its URL, and the counts of what it served.

    `port` 0 takes one that is free. A request has at most `batch_size` signals and `megabytes`,
    and requests are denoised together up to `batch_size` signals, for which the first waits `wait`
    seconds at most. A client has `timeout` seconds to send a request, and waits as long for the
    answer. Raises `InvalidInput` for a prior that cannot be served, for a host that other machines
    reach without a `token`, and for an address that cannot be taken.
    """
    batch_size = checks.whole("batch_size", batch_size, most=1 << 16, meaning="signals at once")
    timeout = checks.positive("timeout", timeout, "seconds")
    wait = checks.non_negative("wait", wait, "seconds")
    if wait >= timeout:
        expected = f"less than the timeout, {timeout:g} seconds"
        raise InvalidInput("wait", given=wait, expected=expected)
    if megabytes is not None:
        checks.positive("megabytes", megabytes, "of one request")
    if token is None and not is_loopback(host):
        raise InvalidInput(
            "token",
            given="none",
            expected=f"a token, since other machines reach {host}",
            advice="set DEFT_TOKEN, or give `token_file`; or leave `host` at 127.0.0.1",
        )
    uvicorn, application = _packages()
    limits = Limits.of(prior, batch_size, megabytes)
    with listening(host, port) as taken:
        batches = Batches(prior.frozen(), signals=batch_size, wait=wait)
        try:
            app = application(batches, limits, timeout)
            guarded = Guard(app, token, (*_LOOPBACK, host) if is_loopback(host) else ())
            patient = import_module("deft.serving.patience").patient
            with started(uvicorn, guarded, taken, http=patient(timeout)) as stopped:
                name = f"[{host}]" if ":" in host else host
                yield f"http://{name}:{taken.getsockname()[1]}", batches.served
                if stopped():
                    raise InvalidInput("port", given=port, expected="a server that goes on")
        finally:
            batches.close()


def serve(prior: Prior, *, say: Callable[[str], None] = print, **settings: Any) -> None:
    """Serve a prior until a signal comes; `settings` are those of `running`. Raises `Stopped`."""
    with signals.noted() as asked, running(prior, **settings) as (url, served):
        say(f"serving {prior.name} at {url}")
        while not asked.is_set():
            time.sleep(0.1)
        number = asked.number or 0
    total = ", ".join(f"{count} {name}" for name, count in asdict(served).items())
    raise signals.Stopped(f"stopped{signals.by(number)}; served {total}.", number)


def _packages() -> tuple[Any, Any]:
    """uvicorn, and what builds the application. Raises `InvalidInput` where they are missing."""
    try:
        return import_module("uvicorn"), import_module("deft.serving.app").application
    except ImportError as error:
        raise InvalidInput(
            "serving a prior",
            given=f"no {error.name}",
            expected="FastAPI and uvicorn",
            advice="install them: pip install 'deft-diffusion[serve]'",
        ) from error


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises `InvalidInput` for an address that cannot be taken."""
    port = checks.whole("port", port, 0, 65535, "of this machine; 0 for one that is free")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        busy = "it is in use" if "in use" in str(error) else error.strerror or str(error)
        if isinstance(error, socket.gaierror) or "assign" in str(error):
            raise InvalidInput(
                "host",
                given=host,
                expected="an address of this machine, such as 127.0.0.1 or 0.0.0.0",
            ) from error
        raise InvalidInput(
            "port", given=port, expected=f"one that can be taken ({busy})", advice="take another"
        ) from error
    except UnicodeError as error:
        raise InvalidInput("host", given=host, expected="an address of this machine") from error


@contextmanager
def started(
    uvicorn: Any, app: Any, listening: socket.socket, **settings: Any
) -> Iterator[Callable[[], bool]]:
    """uvicorn within the block, in a thread, so that signals stay those of the main thread; what
    tells whether it has stopped by itself. `settings` are further ones of uvicorn.
    """
    usual = {
        "ws": "none",
        "lifespan": "off",
        "log_config": None,
        "log_level": "warning",
        "access_log": False,
        "proxy_headers": False,
        "server_header": False,
        "limit_concurrency": _CONNECTIONS,
        "timeout_keep_alive": 30,
        "timeout_graceful_shutdown": 5,
        "h11_max_incomplete_event_size": _HEAD,
    }
    server = uvicorn.Server(uvicorn.Config(app, **{**usual, **settings}))
    thread = threading.Thread(
        target=server.run, kwargs={"sockets": [listening]}, name="deft server", daemon=True
    )
    thread.start()
    try:
        end = time.monotonic() + _START
        while not server.started and thread.is_alive() and time.monotonic() < end:
            time.sleep(0.01)
        yield lambda: not thread.is_alive()
    finally:
        server.should_exit = True
        thread.join()
