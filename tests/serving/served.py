"""Small priors, servers of them, and servers of something else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import torch

from deft.priors.callable import CallablePrior
from deft.schedules import VPLinear
from tests.commands.conftest import tiny_prior

TOKEN = "a-token-of-the-tests"
SHAPE = (1, 4, 4)


def labelled() -> CallablePrior:
    """A prior that is told classes, and knows what it was told."""

    def denoise(x_t, t, class_labels):
        return 0.5 * x_t + class_labels.reshape(-1, 1, 1, 1).float()

    return CallablePrior(
        denoise, VPLinear(), SHAPE, 1.0, name="labelled", identity="one", context=("class_labels",)
    )


def plain(factor: float = 0.5, **settings) -> CallablePrior:
    """A prior without weights, quick to ask."""
    given = {"name": "plain", "identity": f"factor {factor}", "value_range": (-1.0, 1.0)}
    return CallablePrior(
        lambda x_t, t: factor * x_t, VPLinear(), SHAPE, 0.7, **{**given, **settings}
    )


def network():
    """A prior with weights, frozen."""
    return tiny_prior(shape=(1, 8, 8)).frozen()


def noisy(prior, n: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x_t = torch.randn(n, *prior.event_shape, generator=generator)
    return x_t, torch.linspace(0.1, 0.9, n)


Answer = Callable[[str, bytes], tuple[int, dict[str, str], bytes]]


@contextmanager
def answering(answer: Answer) -> Iterator[str]:
    """A server that answers with what a function of (path, body) says, and its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            status, headers, content = answer(self.path, body)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

        def log_message(self, *given: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
