"""Samplers: from noise to signals, along a grid of times (deft.steps, deft.samplers.grids).

    x_{t_1} = the prior's initial draw,    x_{t_{k+1}} = step(x_{t_k}),    x_0 = x_0_hat(x_{t_N})

A `Sampler` sees a prior, never y: conditioned sampling is sampling from a `Posterior`.
A sampler that conditions inside its step is a `PosteriorSampler` (deft.samplers.posterior).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from deft.htransforms.base import HTransform, NoConditioning
from deft.likelihoods import Observation
from deft.noise import Noise
from deft.posterior import Posterior
from deft.priors.base import Prior
from deft.samplers.arguments import Seed, at_most, observation_seeds, room_for_batch, sample_count
from deft.samplers.grids import TimeGrid
from deft.samplers.grids import (
    UniformLogSNR as UniformLogSNR,
)  # where files of earlier versions name them
from deft.samplers.grids import UniformTime as UniformTime
from deft.steps import State, walk
from deft.transitions import Steps
from deft.types import Signal, Times

Watch = Callable[[State], None]


@final
@dataclass(frozen=True)
class Draws:
    """Samples of equal weight, (observations, samples, *event); `weights` holds, where they were
    chosen from weighted ones, what is known of those, a card per observation.
    """

    x_0: Float[Tensor, "observations samples *event"]
    weights: tuple[Mapping[str, object], ...] = ()


class Sampling(ABC):
    """A way to samples of equal weight of a prior, or of a posterior: a sampler, or weighted
    samples that are chosen from.

    `conditions` says that it conditions by itself: it is given no h-transform.
    """

    conditions: bool = False
    asks_twice: bool = False  # the prior too, at x_t, where an h-transform asks it elsewhere

    @abstractmethod
    def draw(
        self,
        prior: Prior,
        num_samples: int,
        *,
        observation: Observation | None = None,
        h_transform: HTransform | None = None,
        seed: Seed = 0,
        batch_size: int | None = None,
        on_step: Watch | None = None,
    ) -> Draws:
        """`num_samples` for each observation; seeds and `batch_size` are as in `Sampler`. `prior`
        may be a posterior already; without an `observation` it is sampled as it is.
        """

    @abstractmethod
    def check(
        self,
        prior: Prior,
        observation: Observation | None = None,
        h_transform: HTransform | None = None,
    ) -> None:
        """Raise `InvalidInput` where this does not apply to a prior, or to what it is conditioned
        on; the prior is not evaluated.
        """

    def signals(self, num_samples: int) -> int:
        """How many signals are denoised side by side for `num_samples` samples of one
        observation.
        """
        return num_samples


def conditioned(
    prior: Prior, observation: Observation | None, h_transform: HTransform | None
) -> Prior:
    """What a method that samples from a prior is given: the posterior, or the prior alone."""
    return (
        prior
        if observation is None
        else Posterior(prior, h_transform or NoConditioning(), observation)
    )


class Stepping(Sampling):
    """What all samplers share: a grid, seeds, chunks, and the loop."""

    steps: int
    grid: TimeGrid

    @property
    def evaluations(self) -> int:
        """Evaluations of the prior per sample."""
        return self.steps

    def times_of(self, prior: Prior) -> Float[Tensor, " steps"]:
        """The times at which a prior is asked, on its device."""
        return self.grid.times(prior.schedule, self.steps).to(prior.device)

    def _walked(
        self,
        times: Tensor,
        start: Signal,
        step: Callable[[State, Times], State],
        on_step: Watch | None,
        bar: tqdm | None,
    ) -> State:
        """The state at the last time."""
        way = walk(times, State(start, times[:1]), step)
        del start
        for state in way:
            if bar is not None:
                bar.update(len(state.x_t))
            if on_step is not None and state.step:
                on_step(state)
        return state

    def _in_chunks(
        self,
        prior: Prior,
        observations: int,
        num_samples: int,
        seed: Seed,
        batch_size: int | None,
        progress: bool,
        run: Callable[[Tensor, Noise, tqdm], Signal],
    ) -> Float[Tensor, "observations samples *event"]:
        num_samples, batch_size = sample_count(num_samples), at_most(batch_size)
        seeds = observation_seeds(seed, observations)
        noise = Noise(seeds, prior.device, prior.dtype).repeat(num_samples)
        owner = torch.arange(len(seeds)).repeat_interleave(num_samples)
        size = batch_size or max(len(noise), 1)
        bar = tqdm(
            total=len(noise) * self.steps,
            disable=not progress,
            desc="sampling",
            unit="eval",
            leave=False,
        )
        parts = []
        for start in range(0, len(noise), size):
            part = slice(start, start + size)
            with room_for_batch(len(owner[part])):
                parts.append(run(owner[part], noise.take(part), bar))
        bar.close()
        none = torch.empty((0, *prior.event_shape), dtype=prior.dtype, device=prior.device)
        x_0 = torch.cat(parts) if parts else none
        result: Float[Tensor, "observations samples *event"] = x_0.unflatten(
            0, (len(seeds), num_samples)
        )
        return result


class Sampler(Stepping):
    """Draws samples from a prior, or from a posterior, which is a prior.

    `eta` is the share of fresh noise of steps that are `Transition`s; None where they are others.
    """

    eta: float | None = None

    @abstractmethod
    def step(self, prior: Prior, state: State, s: Times, noise: Noise) -> State:
        """From time t to s < t."""

    def start(self, prior: Prior, noise: Noise) -> Signal:
        """x_1, at the noise end: the prior's own, unless a method says where it starts."""
        return prior.initial(noise)

    def finish(self, prior: Prior, state: State, noise: Noise) -> Signal:
        """x_0, from the last time of the grid: the denoiser's own, unless a method says how it
        ends.
        """
        return prior.denoise(state.x_t, state.t)

    def check(
        self,
        prior: Prior,
        observation: Observation | None = None,
        h_transform: HTransform | None = None,
    ) -> None:
        prior = conditioned(prior, observation, h_transform)
        prior.on(Steps(prior.schedule, self.times_of(prior), self.eta))

    def __call__(
        self,
        prior: Prior,
        num_samples: int = 1,
        *,
        seed: Seed = 0,
        batch_size: int | None = None,
        on_step: Watch | None = None,
        progress: bool = False,
    ) -> Float[Tensor, "observations samples *event"]:
        """Draw `num_samples` for each observation: (observations, samples, *event).

        Sample j of an observation depends on (seed of the observation, j) alone; an integer `seed`
        gives observation i the seed (seed, i). `batch_size` is the largest number of signals
        denoised at once; `on_step` sees the state after every step. Raises `OutOfMemory`.
        """
        self.check(prior)

        def run(owner: Tensor, noise: Noise, bar: tqdm) -> Signal:
            return self.run(prior.take(owner), noise, on_step=on_step, bar=bar)

        return self._in_chunks(
            prior, prior.num_observations, num_samples, seed, batch_size, progress, run
        )

    def draw(
        self,
        prior: Prior,
        num_samples: int,
        *,
        observation: Observation | None = None,
        h_transform: HTransform | None = None,
        seed: Seed = 0,
        batch_size: int | None = None,
        on_step: Watch | None = None,
    ) -> Draws:
        prior = conditioned(prior, observation, h_transform)
        return Draws(self(prior, num_samples, seed=seed, batch_size=batch_size, on_step=on_step))

    @torch.no_grad()
    def run(
        self, prior: Prior, noise: Noise, *, on_step: Watch | None = None, bar: tqdm | None = None
    ) -> Signal:
        """One signal for each seed of `noise`, all at once: (batch, *event).

        A posterior has as many observations as there are seeds, or one. `on_step` sees the state
        after every step; `bar` counts evaluations.
        """
        times = self.times_of(prior)
        if prior.num_observations == 1:
            prior = prior.take([0] * len(noise))
        prior = prior.on(Steps(prior.schedule, times, self.eta))

        def step(state: State, s: Times) -> State:
            return self.step(prior, state, s, noise)

        return self.finish(
            prior, self._walked(times, self.start(prior, noise), step, on_step, bar), noise
        )
