"""Samplers that condition inside their step, so that no h-transform describes them.

    x_s = step(x_t, y),    of the prior and the observation

They evaluate the prior by itself, and never differentiate it.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from deft.errors import InvalidInput
from deft.htransforms.base import HTransform
from deft.likelihoods import Observation
from deft.noise import Noise
from deft.posterior import fitted
from deft.priors.base import Prior
from deft.samplers.arguments import Seed
from deft.samplers.base import Draws, Stepping, Watch
from deft.steps import State
from deft.transitions import Steps
from deft.types import Signal, Times


class PosteriorSampler(Stepping):
    """Draws samples of p(x_0 | y) by steps that read y themselves; it never differentiates the
    prior.
    """

    conditions = True

    @abstractmethod
    def step(
        self, prior: Prior, observation: Observation, state: State, s: Times, noise: Noise
    ) -> State:
        """From time t to s < t."""

    def start(self, prior: Prior, observation: Observation, noise: Noise) -> Signal:
        """x_1, at the noise end: the prior's own, unless a method says where it starts."""
        return prior.initial(noise)

    def finish(self, prior: Prior, observation: Observation, state: State, noise: Noise) -> Signal:
        """x_0, from the last time of the grid: the denoiser's own, unless a method says how it
        ends.
        """
        return prior.denoise(state.x_t, state.t)

    def applies(self, prior: Prior, observation: Observation) -> None:
        """Raise `InvalidInput` where the method does not apply; the prior is not evaluated."""

    def check(
        self,
        prior: Prior,
        observation: Observation | None = None,
        h_transform: HTransform | None = None,
    ) -> None:
        self.applies(prior, self._observation(prior, observation, h_transform))

    def __call__(
        self,
        prior: Prior,
        observation: Observation,
        num_samples: int = 1,
        *,
        seed: Seed = 0,
        batch_size: int | None = None,
        on_step: Watch | None = None,
        progress: bool = False,
    ) -> Float[Tensor, "observations samples *event"]:
        """Draw `num_samples` for each observation, as a `Sampler` does of a `Posterior`:
        (observations, samples, *event).
        """
        fit = self._observation(prior, observation, None)
        return self._drawn(prior, fit, num_samples, seed, batch_size, on_step, progress)

    def _drawn(
        self,
        prior: Prior,
        fit: Observation,
        num_samples: int,
        seed: Seed,
        batch_size: int | None,
        on_step: Watch | None,
        progress: bool,
    ) -> Tensor:
        self.applies(prior, fit)

        def run(owner: Tensor, noise: Noise, bar: tqdm) -> Signal:
            return self.run(prior.take(owner), fit.take(owner), noise, on_step=on_step, bar=bar)

        return self._in_chunks(prior, len(fit), num_samples, seed, batch_size, progress, run)

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
        fit = self._observation(prior, observation, h_transform)
        return Draws(self._drawn(prior, fit, num_samples, seed, batch_size, on_step, False))

    @torch.no_grad()
    def run(
        self,
        prior: Prior,
        observation: Observation,
        noise: Noise,
        *,
        on_step: Watch | None = None,
        bar: tqdm | None = None,
    ) -> Signal:
        """One signal for each seed of `noise`, as many as there are observations, or of one:
        (batch, *event).
        """
        if len(observation) == 1:
            observation = observation.take([0] * len(noise))
        times = self.times_of(prior)
        prior = prior.on(Steps(prior.schedule, times, None))

        def step(state: State, s: Times) -> State:
            return self.step(prior, observation, state, s, noise)

        start = self.start(prior, observation, noise)
        state = self._walked(times, start, step, on_step, bar)
        return self.finish(prior, observation, state, noise)

    def _observation(
        self, prior: Prior, observation: Observation | None, h_transform: HTransform | None
    ) -> Observation:
        """The observation in the prior's precision and space. Raises `InvalidInput` where something
        conditions already.
        """
        name = type(self).__name__
        advice = (
            f"call {name}(...)(prior, observation, num_samples), or keep the h-transform and use "
            "DDIM, Heun or DPMSolver"
        )
        if not isinstance(observation, Observation):
            raise InvalidInput(
                f"{name} conditions by itself",
                given=f"{prior.name} and no observation",
                expected="the prior, and an observation",
                advice=advice,
            )
        if h_transform is not None and h_transform.conditions:
            raise InvalidInput(
                f"{name} conditions by itself",
                given=type(h_transform).__name__,
                expected="no h-transform",
                advice=advice,
            )
        return fitted(prior, observation)
