"""Samplers: from noise to signals, along a grid of times.

    x_s = a x_0_hat + b x_t + c z
    c = eta sigma_s sqrt(1 - (alpha_t sigma_s / (alpha_s sigma_t))^2),   b = sqrt(sigma_s^2 - c^2) / sigma_t,   a = alpha_s - b alpha_t

A grid holds 1 = t_1 > t_2 > ... > t_N; the last step returns x_0_hat(x_{t_N}). A sampler sees a prior, never y: conditioned sampling is sampling from
a `Posterior`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import SupportsIndex, final

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from deft import checks
from deft.errors import MOST, InvalidInput, room_for
from deft.noise import Noise, as_seed, mix
from deft.priors.base import Prior
from deft.schedules import Schedule
from deft.types import LogProb, Signal, Times, expand, inner

Seed = SupportsIndex | Iterable[SupportsIndex]
MOST_STEPS = 1_000_000


class TimeGrid(ABC):
    """Where a sampler asks the prior."""

    @abstractmethod
    def positions(self, schedule: Schedule, steps: int) -> Tensor:
        """`steps` falling times in [0, 1], the first of them 1, before they are snapped to times that the network knows."""

    def times(self, schedule: Schedule, steps: int) -> Float[Tensor, " steps"]:
        """The grid: falling times that the network knows, in double precision; those that fall on the same one move apart, towards the noise."""
        grid = schedule.snap(self.positions(schedule, steps))
        if bool((grid.diff() < 0).all()):
            return grid
        known = schedule.snap(torch.linspace(0, 1, 20_001, dtype=torch.float64)).unique().flip(0)
        place = (known[:, None] - grid).abs().argmin(0)
        for k in range(steps - 2, -1, -1):
            place[k] = min(int(place[k]), int(place[k + 1]) - 1)
        if place[0] < 0:
            raise InvalidInput(
                f"{type(schedule).__name__} has fewer than the {steps} distinct times that {type(self).__name__} asks for; ask for fewer steps."
            )
        return known[place]


@final
class UniformTime(TimeGrid):
    """t_k = 1 - (k - 1) / N: the last evaluation is at t = 1 / N, as is usual for DDPM tables."""

    def positions(self, schedule: Schedule, steps: int) -> Tensor:
        return 1 - torch.arange(steps, dtype=torch.float64) / steps


@final
class UniformLogSNR(TimeGrid):
    """Even steps in log-SNR between the noise end and `high`; `high` is cut to what the schedule reaches.

    The last step returns the mean of what is left, so samples lack the spread below exp(-high / 2), 0.011 of the signal's unit. With the exact h on a
    mixture of small images, sigma_y = 0.05 and 20 steps of DPMSolver, `high` = 6, 8, 9 give a misfit of 0.71, 0.94, 0.98.
    """

    def __init__(self, high: float = 9.0, low: float | None = None) -> None:
        self.high = checks.finite("high", high, "the log-SNR of the last evaluation")
        self.low = None if low is None else checks.finite("low", low, "the log-SNR after the first evaluation")
        if self.low is not None:
            checks.finite_range("low, high", (self.low, self.high), "log-SNRs, from noise to signal")

    def positions(self, schedule: Schedule, steps: int) -> Tensor:
        start, end = schedule.log_snr_range
        if self.high <= start:
            raise InvalidInput("high", given=self.high, expected=f"a log-SNR above {start:.4g}, the noise end of {type(schedule).__name__}")
        low = start if self.low is None else max(self.low, start)
        grid = schedule.time(torch.linspace(low, min(self.high, end), steps, dtype=torch.float64))
        grid[0] = 1.0
        return grid


@final
@dataclass(frozen=True)
class Transition:
    """One Gaussian step from t to s < t: x_s = a x_0_hat + b x_t + c z, one number each per signal or one for all."""

    a: Tensor
    b: Tensor
    c: Tensor
    eta: float = 1.0

    @classmethod
    def between(cls, schedule: Schedule, t: Times, s: Times, eta: float) -> Transition:
        """The step that preserves the marginals of the prior; eta = 0 is DDIM, eta = 1 DDPM."""
        alpha_t, sigma_t, alpha_s, sigma_s = schedule.alpha(t), schedule.sigma(t), schedule.alpha(s), schedule.sigma(s)
        c = eta * sigma_s * (1 - (alpha_t * sigma_s / (alpha_s * sigma_t)) ** 2).clamp(min=0).sqrt()
        b = (sigma_s**2 - c**2).clamp(min=0).sqrt() / sigma_t
        return cls(alpha_s - b * alpha_t, b, c, eta)

    def mean(self, x_0_hat: Signal, x_t: Signal) -> Signal:
        """a x_0_hat + b x_t."""
        return expand(self.a, x_t).to(x_t) * x_0_hat + expand(self.b, x_t).to(x_t) * x_t

    def draw(self, x_0_hat: Signal, x_t: Signal, prior: Prior, noise: Noise, step: int) -> Signal:
        """x_s, with z the prior's noise of that step; nothing is drawn where eta, and so c, is 0."""
        x_s = self.mean(x_0_hat, x_t)
        return x_s + expand(self.c, x_t).to(x_t) * prior.noise(noise, step) if self.eta > 0 else x_s

    def log_ratio(self, x_s: Signal, x_t: Signal, x_0_hat: Signal, shift: Signal) -> LogProb:
        """log p(x_s | x_t) - log q(x_s | x_t), where p takes the step with the prior's x_0_hat and q with x_0_hat + shift.

            -u . z - |u|^2 / 2,    u = (a / c) shift,    z = (x_s - a (x_0_hat + shift) - b x_t) / c

        z is what q drew. Needs c > 0: without noise (eta = 0) a step has no density. In double precision, for these are sums over all entries.
        """
        x_s, x_t, x_0_hat, shift = (x if x.device.type == "mps" else x.double() for x in (x_s, x_t, x_0_hat, shift))
        c = expand(self.c, x_t).to(x_t)
        u = expand(self.a, x_t).to(x_t) / c * shift
        z = (x_s - self.mean(x_0_hat + shift, x_t)) / c
        return -inner(u, z + 0.5 * u)


@final
@dataclass(frozen=True)
class State:
    """All that moves: the signal, its time, the number of steps taken, and what a multistep method remembers."""

    x_t: Signal
    t: Times
    step: int = 0
    memory: tuple[Tensor, ...] = ()


@final
@dataclass(frozen=True)
class Draws:
    """Samples of equal weight, (observations, samples, *event); `weights` holds, where they were chosen from weighted ones, what is known of those, a card per observation."""

    x_0: Float[Tensor, "observations samples *event"]
    weights: tuple[Mapping[str, object], ...] = ()


class Sampling(ABC):
    """A way to samples of equal weight of a prior, or of a posterior: a sampler, or weighted samples that are chosen from."""

    @abstractmethod
    def draw(self, prior: Prior, num_samples: int, *, seed: Seed = 0, batch_size: int | None = None) -> Draws:
        """`num_samples` for each observation; seeds and `batch_size` are as in `Sampler`."""

    @abstractmethod
    def check(self, prior: Prior) -> None:
        """Raise `InvalidInput` where this does not apply to a prior or to what it is conditioned on; the prior is not evaluated."""

    def signals(self, num_samples: int) -> int:
        """How many signals are denoised side by side for `num_samples` samples of one observation."""
        return num_samples


class Sampler(Sampling):
    """Draws samples from a prior, or from a posterior, which is a prior."""

    steps: int
    grid: TimeGrid

    @abstractmethod
    def step(self, prior: Prior, state: State, s: Times, noise: Noise) -> State:
        """From time t to s < t."""

    def start(self, prior: Prior, noise: Noise) -> Signal:
        """x_1, at the noise end: the prior's own, unless a method says where it starts."""
        return prior.initial(noise)

    def finish(self, prior: Prior, state: State, noise: Noise) -> Signal:
        """x_0, from the last time of the grid: the denoiser's own, unless a method says how it ends."""
        return prior.denoise(state.x_t, state.t)

    def check(self, prior: Prior) -> None:
        """Raise `InvalidInput` where a method does not apply to a prior or to what it is conditioned on; asked before the prior is evaluated."""

    @property
    def evaluations(self) -> int:
        """Evaluations of the prior per sample."""
        return self.steps

    def __call__(
        self,
        prior: Prior,
        num_samples: int = 1,
        *,
        seed: Seed = 0,
        batch_size: int | None = None,
        on_step: Callable[[State], None] | None = None,
        progress: bool = False,
    ) -> Float[Tensor, "observations samples *event"]:
        """Draw `num_samples` for each observation: (observations, samples, *event).

        Sample j of an observation depends on (seed of the observation, j) alone; an integer `seed` gives observation i the seed (seed, i).
        `batch_size` is the largest number of signals denoised at once; `on_step` sees the state after every step. Raises `OutOfMemory`.
        """
        num_samples, batch_size = sample_count(num_samples), at_most(batch_size)
        seeds = observation_seeds(seed, prior.num_observations)
        self.check(prior)
        noise = Noise(seeds, prior.device, prior.dtype).repeat(num_samples)
        owner = torch.arange(len(seeds)).repeat_interleave(num_samples)
        size = batch_size or max(len(noise), 1)
        bar = tqdm(total=len(noise) * self.steps, disable=not progress, desc="sampling", unit="eval", leave=False)
        parts = []
        for start in range(0, len(noise), size):
            part = slice(start, start + size)
            with room_for_batch(len(owner[part])):
                parts.append(self.run(prior.take(owner[part]), noise.take(part), on_step=on_step, bar=bar))
        bar.close()
        x_0 = torch.cat(parts) if parts else torch.empty((0, *prior.event_shape))
        return x_0.unflatten(0, (len(seeds), num_samples))

    def draw(self, prior: Prior, num_samples: int, *, seed: Seed = 0, batch_size: int | None = None) -> Draws:
        return Draws(self(prior, num_samples, seed=seed, batch_size=batch_size))

    @torch.no_grad()
    def run(self, prior: Prior, noise: Noise, *, on_step: Callable[[State], None] | None = None, bar: tqdm | None = None) -> Signal:
        """One signal for each seed of `noise`, all at once: (batch, *event).

        A posterior has as many observations as there are seeds, or one. `on_step` sees the state after every step; `bar` counts evaluations.
        """
        grid = self.grid.times(prior.schedule, self.steps).to(prior.device)
        state = State(self.start(prior, noise), grid[:1])
        for s in grid[1:]:
            state = self.step(prior, state, s[None], noise)
            if bar is not None:
                bar.update(len(noise))
            if on_step is not None:
                on_step(state)
        if bar is not None:
            bar.update(len(noise))
        return self.finish(prior, state, noise)


def at_least_one(steps: int) -> int:
    """The number of steps of a sampler. Raises `InvalidInput` where it is none."""
    return checks.whole("steps", steps, most=MOST_STEPS, meaning="at least one step of a sampler")


def sample_count(num_samples: int) -> int:
    """How many samples of each observation. Raises `InvalidInput` where it is none."""
    return checks.whole("num_samples", num_samples, most=MOST, meaning="the samples of each observation")


def at_most(batch_size: int | None) -> int | None:
    """The largest number of signals that are denoised at once; None for all. Raises `InvalidInput` where it is none."""
    return (
        None
        if batch_size is None
        else checks.whole("batch_size", batch_size, meaning="the signals that are denoised at once", advice="use None for all")
    )


def room_for_batch(signals: int) -> AbstractContextManager[None]:
    """Within the block, say which batch size to try where the device has no room."""
    advice = f"try batch_size={signals // 2}, which changes no result" if signals > 1 else "one at a time is the least"
    return room_for(f"{signals} signals at once", advice)


def observation_seeds(seed: Seed, num_observations: int) -> list[int]:
    """One seed per observation, from one integer or as given."""
    try:
        seeds = [as_seed(value) for value in seed]  # type: ignore[union-attr]
    except TypeError:  # one number, of any kind
        return [mix(as_seed(seed), 3, i) for i in range(num_observations)]  # type: ignore[arg-type]
    if len(seeds) != num_observations:
        raise InvalidInput(f"got {len(seeds)} seeds for {num_observations} observations; give one integer, or one per observation.")
    return seeds
