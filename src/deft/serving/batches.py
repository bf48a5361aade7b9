"""Requests of several clients, denoised together.

One thread owns the prior. It takes the request that has waited longest and all that go with it
(the same context, types and shapes), until `signals` are together or `wait` seconds have passed,
and evaluates the prior once for all of them. What each gets is the same as alone, but for rounding.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.priors.base import Prior

MOST_WAITING = 256
"""Requests that wait; more are refused."""


class Busy(Exception):
    """Too many requests wait."""


@final
@dataclass(eq=False)
class Asked:
    """Signals with their times, one for each, and their context, one entry for each or for all."""

    x_t: Tensor
    t: Tensor
    context: Mapping[str, Tensor]
    answer: Future[Tensor] = field(default_factory=Future)

    @property
    def kind(self) -> object:
        """What requests have in common that are denoised together."""
        return (
            self.t.dtype,
            self.x_t.shape[1:],
            sorted((name, v.dtype, v.shape[1:]) for name, v in self.context.items()),
        )


@final
@dataclass
class Served:
    """What was served: requests, the signals in them, and the evaluations of the prior."""

    requests: int = 0
    signals: int = 0
    forwards: int = 0


@final
class Batches:
    """The prior, and the requests that wait for it."""

    def __init__(self, prior: Prior, *, signals: int, wait: float = 0.002) -> None:
        self.prior, self.signals, self.wait = prior, signals, wait
        self.served = Served()
        self._waiting: list[Asked] = []
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="deft prior", daemon=True)
        self._thread.start()

    def ask(self, request: Asked) -> Future[Tensor]:
        """x_0_hat, once it is there. Raises `Busy` where too many wait."""
        with self._changed:
            if self._closed or len(self._waiting) >= MOST_WAITING:
                raise Busy
            self._waiting.append(request)
            self._changed.notify_all()
        return request.answer

    def close(self) -> None:
        """Finish the evaluation under way; what waits is cancelled."""
        with self._changed:
            self._closed = True
            for request in self._waiting:
                request.answer.cancel()
            self._waiting.clear()
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                self._changed.wait_for(self._full, self.wait)
                chosen = self._together()
                self._waiting = [one for one in self._waiting if one not in chosen]
            self._answer([one for one in chosen if one.answer.set_running_or_notify_cancel()])

    def _full(self) -> bool:
        return self._closed or sum(len(one.x_t) for one in self._together()) >= self.signals

    def _together(self) -> list[Asked]:
        """The first request that waits, and those that go with it."""
        chosen: list[Asked] = []
        room = self.signals
        for request in self._waiting:
            fits = not chosen or (request.kind == chosen[0].kind and len(request.x_t) <= room)
            if fits:
                chosen.append(request)
                room -= len(request.x_t)
        return chosen

    def _answer(self, requests: list[Asked]) -> None:
        if not requests:
            return
        try:
            answers = self._evaluated(requests)
        except Exception as error:
            if len(requests) > 1:  # the fault of one is not that of the others
                for request in requests:
                    self._answer_alone(request)
            else:
                requests[0].answer.set_exception(error)
            return
        for request, answer in zip(requests, answers, strict=True):
            request.answer.set_result(answer)

    def _answer_alone(self, request: Asked) -> None:
        try:
            answer = self._evaluated([request])[0]
        except Exception as error:
            request.answer.set_exception(error)
        else:
            request.answer.set_result(answer)

    @torch.no_grad()
    def _evaluated(self, requests: list[Asked]) -> list[Tensor]:
        device, sizes = self.prior.device, [len(one.x_t) for one in requests]
        x_t = torch.cat([one.x_t for one in requests]).to(device)
        t = torch.cat([one.t.expand(n) for one, n in zip(requests, sizes)]).to(device)
        told = {
            name: torch.cat(
                [one.context[name].expand(n, *value.shape[1:]) for one, n in zip(requests, sizes)]
            )
            for name, value in requests[0].context.items()
        }
        prior = self.prior.given(**told) if told else self.prior
        found = prior.denoise(x_t, t).float().cpu()
        self.served.forwards += 1
        self.served.requests += len(requests)
        self.served.signals += len(x_t)
        return list(found.split(sizes))


def check_answer(x_0_hat: Tensor) -> None:
    """Raise `InvalidInput` for an estimate that is not finite: x_t was of no size that the prior
    knows.
    """
    if not bool(x_0_hat.isfinite().all()):
        raise InvalidInput(
            "x_t",
            given="values for which the estimate is not finite",
            expected="x_t = alpha_t x_0 + sigma_t eps",
        )
