"""A prior that is served elsewhere: neither its weights nor its gradients are here.

    x_0_hat = E[x_0 | x_t], by POST /denoise of the server (deft.serving)

x_t goes over in single precision, and so does the answer.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from deft import checks
from deft.errors import InvalidInput, PriorUnavailable
from deft.priors.base import Prior
from deft.priors.remote import wire
from deft.priors.remote.card import CARD, CONTEXT, schedule_of
from deft.priors.remote.connection import Connection, Counts, no_prior
from deft.storage.bounded_json import parsed
from deft.types import Axes, Signal, Times

_LONGEST_CARD = 4_000_000  # bytes


@final
class RemotePrior(Prior):
    """The prior behind `url`, where `deft serve-prior` runs.

    `token` is what the server was started with; by default what DEFT_TOKEN holds, or the file that
    DEFT_TOKEN_FILE names. `batch_size` is how many signals go into one request, at most as many as
    the server takes; `timeout` how many seconds it has for an answer; `patience` for how many
    seconds a request that is not answered is sent again. What it asks in any context counts
    together, in `counts`.

    Raises `InvalidInput` for a URL where no prior is served and for a wrong token; and, there or
    later, `PriorUnavailable` where nobody answers, or with something that is no answer.
    """

    differentiable = False

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        batch_size: int | None = None,
        timeout: float = 60.0,
        patience: float = 120.0,
    ) -> None:
        super().__init__()
        if batch_size is not None:
            checks.whole("batch_size", batch_size, meaning="signals of one request")
        self.patience = checks.non_negative("patience", patience, "seconds")
        timeout = checks.positive("timeout", timeout, "seconds for an answer")
        self._connection = Connection(url, token or token_from_environment(), timeout)
        card = self._read_card(url)
        self._card, self._url = card, url
        self.schedule, self.event_shape = schedule_of(card), tuple(card["event_shape"])
        self.scale, self.prediction = float(card["scale"]), str(card["prediction"])
        given_range = card.get("value_range")
        self.value_range = None if given_range is None else (given_range[0], given_range[1])
        self.takes = tuple(card["takes"])
        self.num_classes: int | None = card.get("classes")
        most = int(card["limits"]["signals"])
        self._size = min(batch_size or most, most)
        self.register_buffer("_place", torch.zeros(()), persistent=False)  # where answers go

    def _read_card(self, url: str) -> dict[str, Any]:
        content, self._mark = self._connection.ask(
            "GET", "/card", longest=_LONGEST_CARD, patience=0.0
        )
        try:
            card = parsed(content, "the card")
            CARD.check("the card", card)
            assert isinstance(card, dict)
            schedule_of(card)
        except InvalidInput as error:
            raise no_prior(url, f"{error.what}: {str(error.given)[:80]}") from error
        return card

    @property
    def name(self) -> str:
        return str(self._card["name"])

    @property
    def url(self) -> str:
        """Where it is served."""
        return self._url

    @property
    def counts(self) -> Counts:
        """What was asked of the server so far."""
        return self._connection.counts

    def served(self) -> dict[str, int]:
        """What the server has served since it began, to all its clients: `requests`, the `signals`
        in them, and `forwards`, evaluations of the prior.
        """
        content, _ = self._connection.ask(
            "GET", "/counts", longest=_LONGEST_CARD, patience=self.patience
        )
        counts = parsed(content, "the counts")
        if not isinstance(counts, dict) or not all(isinstance(n, int) for n in counts.values()):
            raise PriorUnavailable(f"the counts of {self.url}", given=str(counts)[:80])
        return counts

    def identity(self) -> dict[str, object]:
        """That of the prior behind the server."""
        return dict(self._card["identity"])

    @property
    def event_axes(self) -> Axes:
        found: Axes = self._card["event_axes"]
        return found

    @property
    def num_parameters(self) -> int:
        """How many parameters the network has, there."""
        return int(self._card["parameters"])

    def checked_context(self, name: str, value: Tensor) -> Tensor:
        """A tensor of finite numbers that a body can hold; labels are whole numbers, the
        classes.
        """
        known = isinstance(value, Tensor) and value.dtype in wire.TYPES.values() and value.ndim
        if not known or value[0].numel() > CONTEXT:
            raise InvalidInput(
                name,
                given=f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else value,
                expected="a tensor of numbers, one entry for all signals or one for each",
            )
        wire.check_finite(name, value)
        if name == "class_labels" and self.num_classes is not None:
            whole = not value.is_floating_point() and value.dtype != torch.bool and value.ndim == 1
            if not whole or not bool(((value >= 0) & (value < self.num_classes)).all()):
                raise InvalidInput(
                    name,
                    given=value.tolist(),
                    expected=f"whole numbers from 0 to {self.num_classes - 1}, the classes of "
                    f"{self.name}: one for all signals, or one for each",
                )
        return value.detach().cpu()

    @torch.no_grad()
    def denoise(self, x_t: Signal, t: Times) -> Signal:
        self.context.for_signals(len(x_t), torch.device("cpu"), self.name)
        if not len(x_t):
            return x_t.clone()
        sent = {"x_t": x_t.detach().float(), "t": t.detach(), **self.context.values}
        sent = {name: value.cpu() for name, value in sent.items()}
        size = self._signals_at_once(sent)
        answers = [
            self._asked({n: v if len(v) == 1 else v[i : i + size] for n, v in sent.items()})
            for i in range(0, len(x_t), size)
        ]
        return torch.cat(answers).to(x_t)

    def _signals_at_once(self, sent: Mapping[str, Tensor]) -> int:
        room = int(self._card["limits"]["bytes"]) - wire.HEADER
        each = sum(value[0].numel() * value.element_size() for value in sent.values())
        if each > room:
            raise InvalidInput(
                f"{self.name}: one signal with its context",
                given=f"{each:,} bytes",
                expected=f"at most {room:,}, by the server at {self.url}",
            )
        return min(self._size, room // max(each, 1))

    def _asked(self, sent: Mapping[str, Tensor]) -> Tensor:
        """The answer to one request. Raises `PriorUnavailable` for one that is none."""
        shape = tuple(sent["x_t"].shape)
        content, mark = self._connection.ask(
            "POST",
            "/denoise",
            wire.packed(sent),
            longest=4 * sent["x_t"].numel() + wire.HEADER,
            patience=self.patience,
        )
        what = f"the answer of the prior at {self.url}"
        if mark != self._mark:
            raise PriorUnavailable(
                what,
                given="an estimate by another prior than at the start",
                expected=f"one by {self.name}",
                advice="start the server with the prior that it had",
            )
        try:
            answer = wire.unpacked(content)
        except InvalidInput as error:
            raise PriorUnavailable(what, given=error.given, expected=error.expected) from error
        x_0_hat = answer.get("x_0_hat")
        if x_0_hat is None or tuple(x_0_hat.shape) != shape or x_0_hat.dtype != torch.float32:
            kinds = (f"{name} of {v.dtype}, {tuple(v.shape)}" for name, v in answer.items())
            raise PriorUnavailable(
                what,
                given=", ".join(kinds) or "nothing",
                expected=f"x_0_hat of torch.float32, {shape}, the shape of x_t",
            )
        if not bool(x_0_hat.isfinite().all()):
            raise PriorUnavailable(what, given="NaN or infinite numbers", expected="finite numbers")
        self.counts.calls += 1
        self.counts.signals += len(x_0_hat)
        return x_0_hat


def token_from_environment() -> str | None:
    """The token that DEFT_TOKEN holds, or the file that DEFT_TOKEN_FILE names; None without
    either. Raises `InvalidInput` where that is none.
    """
    path, token = os.environ.get("DEFT_TOKEN_FILE"), os.environ.get("DEFT_TOKEN")
    if path:
        return token_in(path)
    return checked_token("DEFT_TOKEN", token) if token else None


def token_in(path: str | Path, what: str = "DEFT_TOKEN_FILE") -> str:
    """The token in a file. Raises `InvalidInput` where there is none."""
    try:
        with open(path, "rb") as file:
            content = file.read(1000)
        text = content.decode("ascii").strip()
    except OSError as error:
        expected = f"a file that holds the token ({error.strerror or error})"
        raise InvalidInput(what, given=str(path), expected=expected) from error
    except UnicodeDecodeError:
        text = ""
    return checked_token(what, text, str(path))


def checked_token(what: str, token: str, given: str | None = None) -> str:
    """A token as a header can carry it. Raises `InvalidInput` for any other; it is not shown."""
    if not (
        8 <= len(token) <= 500 and token.isascii() and token.isprintable() and " " not in token
    ):
        raise InvalidInput(
            what,
            given=given or f"{len(token)} characters",
            expected="a token of 8 to 500 letters, digits and signs, on one line",
            advice="make one with: python -c 'import secrets; print(secrets.token_urlsafe())'",
        )
    return token
