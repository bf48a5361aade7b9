"""Servers of a prior that are wrong in one way each, by the path of their address."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from deft.priors.remote import wire
from deft.priors.remote.card import Limits, served_card
from deft.priors.remote.connection import MARK
from tests.commands.conftest import tiny_prior
from tests.serving.served import answering

WRONG = {
    "good": lambda x_t: 0.5 * x_t,
    "shape": lambda x_t: x_t[:, :, :3],
    "nan": lambda x_t: x_t * torch.nan,
}


@contextmanager
def served() -> Iterator[str]:
    """The address of all of them, within the block."""
    prior = tiny_prior()
    card = json.dumps(served_card(prior, Limits.of(prior, 8))).encode()

    def answer(path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        name = path.split("/")[1]
        if name == "token":
            return 401, {}, b""
        if name == "redirect":
            return 302, {"Location": "http://elsewhere.example/"}, b""
        if name not in WRONG:
            return 200, {}, b"<html>a page</html>"
        if path.endswith("/card"):
            return 200, {MARK: name}, card
        return 200, {MARK: name}, wire.packed({"x_0_hat": WRONG[name](wire.unpacked(body)["x_t"])})

    with answering(answer) as url:
        yield url
