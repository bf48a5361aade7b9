"""The page as a server on the loopback, which ends with a signal."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from deft import signals
from deft.app.limits import Limits
from deft.app.local import Local
from deft.errors import InvalidInput
from deft.priors.base import Prior
from deft.serving.run import listening, started
from deft.storage import hub
from deft.storage.cards import Allow

_OFF = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "GRADIO_SHARE": "False",
    "GRADIO_MCP_SERVER": "False",
    "GRADIO_SSR_MODE": "False",
}


@contextmanager
def running(
    names: Sequence[str],
    *,
    port: int = 7860,
    prior: Prior | None = None,
    allow: Allow = (),
    device: str = "cpu",
    limits: Limits | None = None,
) -> Iterator[tuple[str, Callable[[], bool]]]:
    """The page within the block: its address, and what tells whether it has stopped by itself.

    `port` 0 takes one that is free. Nothing is downloaded: hub ids are had from the cache. What
    users drop and draw is in a folder of its own that no other user can read, and that is gone
    after the block. Raises `InvalidInput` where Gradio is missing, and for a port that cannot be
    taken.
    """
    limits = limits or Limits()
    with listening("127.0.0.1", port) as taken, hub.offline():
        folder = Path(tempfile.mkdtemp(prefix="deft-app-"))
        try:
            os.environ |= {**_OFF, "GRADIO_TEMP_DIR": str(folder)}
            uvicorn, app = _application(names, prior, allow, device, limits, folder)
            with started(uvicorn, Local(app), taken, lifespan="on") as stopped:
                yield f"http://127.0.0.1:{taken.getsockname()[1]}", stopped
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def serve(names: Sequence[str], *, say: Callable[[str], None] = print, **settings: Any) -> None:
    """The page until a signal comes; `settings` are those of `running`. Raises `Stopped`."""
    with signals.noted() as asked, running(names, **settings) as (url, stopped):
        say(url)
        while not asked.is_set() and not stopped():
            time.sleep(0.1)
        number = asked.number or 0
    raise signals.Stopped(f"stopped{signals.by(number)}.", number)


def _application(
    names: Sequence[str],
    prior: Prior | None,
    allow: Allow,
    device: str,
    limits: Limits,
    folder: Path,
) -> tuple[Any, Any]:
    """uvicorn, and the application. Raises `InvalidInput` where a package is missing."""
    try:
        gradio, fastapi, uvicorn = map(import_module, ("gradio", "fastapi", "uvicorn"))
        page = import_module("deft.app.page")
    except ImportError as error:
        raise InvalidInput(
            "the page",
            given=f"no {error.name}",
            expected="Gradio",
            advice="install it: pip install 'deft-diffusion[app]'",
        ) from error
    from deft.app.work import Desk

    desk = Desk(names, limits, folder, prior, allow, device)
    blocks = page.page(desk)
    app = gradio.mount_gradio_app(
        fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
        blocks,
        path="/",
        server_name="127.0.0.1",
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        enable_monitoring=False,
        show_error=True,
        max_file_size=limits.bytes + (1 << 20),
        blocked_paths=[],
        theme=page.theme(),
        css=(page.HOME / "page.css").read_text(),
    )
    return uvicorn, app
