"""The one loop over the steps of a grid.

    x_s = a x_0_hat + b x_t + c z        (deft.transitions)

A walk goes along falling times t_1 > t_2 > ... > t_N. It stops at each of them, before it moves on;
x_0 is the estimate at the last. Samplers, path weights, SMC and losses on paths share it. The graph
is left to the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Generic, Protocol, Self, TypeVar, final, runtime_checkable

from torch import Tensor

from deft.noise import Noise
from deft.priors.base import Prior
from deft.transitions import Transition
from deft.types import LogProb, Signal, Times, expand


@final
@dataclass(frozen=True)
class State:
    """All that moves: the signal, its time, the number of steps taken, and what a multistep method
    remembers.
    """

    x_t: Signal
    t: Times
    step: int = 0
    memory: tuple[Tensor, ...] = ()


def drawn(
    transition: Transition, x_0_hat: Signal, x_t: Signal, prior: Prior, noise: Noise, step: int
) -> Signal:
    """x_s, with z the prior's noise of that step; nothing is drawn where eta, and so c, is 0."""
    x_s = transition.mean(x_0_hat, x_t)
    return (
        x_s + expand(transition.c, x_t).to(x_t) * prior.noise(noise, step)
        if transition.eta > 0
        else x_s
    )


def walk(
    times: Tensor, start: State, step: Callable[[State, Times], State]
) -> Generator[State, State | None]:
    """Every state along `times`, (steps,), from `start`; the one loop over the steps of a grid.

    A state that is sent takes the place of the one that was given: particles that were resampled.
    """
    state = start
    del start  # the first signals are not kept through the walk
    for s in times[1:]:
        changed = yield state
        state = step(changed or state, s[None])
    yield state


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

    def draw(self, prior: Prior, noise: Noise, step: int) -> Signal:
        """x_s, by the conditioned estimate."""
        return drawn(self.transition, self.x_0_hat + self.shift, self.x_t, prior, noise, step)

    def log_ratio(self, x_s: Signal) -> LogProb:
        """log p(x_s | x_t) - log q(x_s | x_t): the prior's own step against the one that was
        taken.
        """
        return self.transition.log_ratio(x_s, self.x_t, self.x_0_hat, self.shift)


S = TypeVar("S", bound=Said)


@final
@dataclass(frozen=True)
class Stop(Generic[S]):
    """One time of a walk: the `index`-th of the grid, from 0; `move` is how it came here, None at
    the start.
    """

    index: int
    t: Times
    x_t: Signal
    said: S
    move: Move | None


def stops(
    prior: Prior,
    noise: Noise,
    times: Tensor,
    eta: float,
    asked: Callable[[Signal, Times], S],
    x_1: Signal | None = None,
) -> Generator[Stop[S], Tensor | None]:
    """A walk of `Transition`s from the prior's x_1 on, with what is known at every stop: x_s = a
    (x_0_hat + shift) + b x_t + c z.

    `asked(x_t, t)` says it, from one evaluation. What is sent to the generator, where anything is,
    are the signals that go on, by their places: particles that were resampled.
    """
    said: S
    move: Move | None = None

    def step(state: State, s: Times) -> State:
        nonlocal move
        move = Move(
            Transition.between(prior.schedule, state.t, s, eta), state.x_t, said.x_0_hat, said.shift
        )
        return State(move.draw(prior, noise, state.step + 1), s, state.step + 1)

    way = walk(times, State(prior.initial(noise) if x_1 is None else x_1, times[:1]), step)
    state: State | None = next(way)
    while state is not None:
        said = asked(state.x_t, state.t)
        chosen = yield Stop(state.step, state.t, state.x_t, said, move)
        if chosen is not None:
            state, said = replace(state, x_t=state.x_t[chosen]), said.take(chosen)
        try:
            state = way.send(state)
        except StopIteration:
            state = None


@final
@dataclass(frozen=True)
class Estimate:
    """What a prior says, and the shift of a posterior."""

    x_0_hat: Signal
    shift: Signal

    def take(self, index: Tensor) -> Estimate:
        return Estimate(self.x_0_hat[index], self.shift[index])
