"""The walk of one-evaluation Gaussian steps that DDIM, path weights, SMC and losses on paths share.

    x_s = a (x_0_hat + shift) + b x_t + c z,    z drawn by the prior (deft.samplers.base has a, b and c)

A walk stops at every time of the grid, after the prior has been asked there and before it moves on. The graph is left to the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeVar, final, runtime_checkable

from torch import Tensor

from deft.noise import Noise
from deft.priors.base import Prior
from deft.samplers.base import Transition
from deft.types import LogProb, Signal, Times


@runtime_checkable
class Said(Protocol):
    """What is known at x_t from one evaluation: the prior's estimate, and what conditions it."""

    @property
    def x_0_hat(self) -> Signal:
        """The prior's estimate."""

    @property
    def shift(self) -> Signal:
        """What the measurement adds to it."""

    def take(self, index: Tensor) -> Self:
        """Of the signals `index` alone."""


@final
@dataclass(frozen=True)
class Move:
    """A step that was taken: from where, with what was said there."""

    transition: Transition
    x_t: Signal
    x_0_hat: Signal
    shift: Signal

    def log_ratio(self, x_s: Signal) -> LogProb:
        """log p(x_s | x_t) - log q(x_s | x_t): the prior's own step against the one that was taken."""
        return self.transition.log_ratio(x_s, self.x_t, self.x_0_hat, self.shift)


S = TypeVar("S", bound=Said)


@final
@dataclass(frozen=True)
class Stop(Generic[S]):
    """One time of a walk: the `index`-th of the grid, from 0; `move` is how it came here, None at the start."""

    index: int
    t: Times
    x_t: Signal
    said: S
    move: Move | None


def walk(
    prior: Prior, noise: Noise, times: Tensor, eta: float, asked: Callable[[Signal, Times], S], x_1: Signal | None = None
) -> Generator[Stop[S], Tensor | None]:
    """Stop at every one of `times`, (steps,), from the prior's x_1 on.

    `asked(x_t, t)` says what is known there, from one evaluation. What is sent to the generator, where anything is, are the signals that go on, by their places:
    particles that were resampled. After the last time it ends; x_0 is the estimate of the last stop.
    """
    x_t, move = prior.initial(noise) if x_1 is None else x_1, None
    for k, t in enumerate(times.split(1)):
        said = asked(x_t, t)
        chosen = yield Stop(k, t, x_t, said, move)
        if k + 1 == len(times):
            return
        if chosen is not None:
            x_t, said = x_t[chosen], said.take(chosen)
        transition = Transition.between(prior.schedule, t, times[k + 1 : k + 2], eta)
        move = Move(transition, x_t, said.x_0_hat, said.shift)
        x_t = transition.draw(said.x_0_hat + said.shift, x_t, prior, noise, k + 1)


@final
@dataclass(frozen=True)
class Estimate:
    """What a prior says, and the shift of a posterior."""

    x_0_hat: Signal
    shift: Signal

    def take(self, index: Tensor) -> Estimate:
        return Estimate(self.x_0_hat[index], self.shift[index])
