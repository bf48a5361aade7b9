"""A posterior is a prior.

    E[x_0 | x_t, y] = E[x_0 | x_t] + shift

`Posterior` wraps a prior, an h-transform and an observation, and denoises like the prior that it wraps; every sampler runs on both and
never sees y.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import final

import torch
from torch import Tensor

from deft.errors import InvalidInput, PriorNotDifferentiable
from deft.htransforms.base import HTransform
from deft.likelihoods import Observation
from deft.noise import Noise
from deft.priors.base import Denoised, Prior
from deft.types import Signal, Times


@final
class Posterior(Prior):
    """p(x_0 | y) as a prior.

    The only place that decides whether the *prior* is differentiated; the graph of h's own parameters follows the caller. Raises
    `PriorNotDifferentiable` at construction where the h-transform needs gradients that the prior has not, and `InvalidInput` where the h-transform does not apply
    to the prior or the observation, or where the three are not on one device. An observation in another precision is taken in that of the prior
    (`Observation.in_dtype`).
    """

    def __init__(self, prior: Prior, h_transform: HTransform, observation: Observation) -> None:
        super().__init__()
        if h_transform.needs_prior_gradient and not prior.differentiable:
            raise PriorNotDifferentiable(
                f"{type(h_transform).__name__} needs gradients through {type(prior).__name__}; use LearnedHTransform or DDNM, which do not."
            )
        if prior.num_observations not in (1, len(observation)):
            raise InvalidInput(
                f"the prior is conditioned on {prior.num_observations} signals and the observation holds {len(observation)}; give one context for all, or as many."
            )
        theirs = {"observation": observation.y.device, "h_transform": next((p.device for p in h_transform.parameters()), prior.device)}
        for what, device in theirs.items():
            if device != prior.device:
                raise InvalidInput(f"the prior is on {prior.device} and the {what} on {device}; use {what}.to(prior.device).")
        observation = observation.in_dtype(prior.dtype)
        h_transform.check(prior, observation)
        self.prior, self.h_transform, self.observation = prior, h_transform, observation
        self.schedule, self.event_shape, self.value_range = prior.schedule, prior.event_shape, prior.value_range
        self.differentiable = prior.differentiable

    @property
    def name(self) -> str:
        return f"{self.prior.name} given y by {type(self.h_transform).__name__}"

    @property
    def scale(self) -> float:  # type: ignore[override]
        """The prior's: the standard deviation of x_0 before anything was measured."""
        return self.prior.scale

    @property
    def device(self) -> torch.device:
        return self.prior.device

    @property
    def dtype(self) -> torch.dtype:
        return self.prior.dtype

    @property
    def num_observations(self) -> int:
        return len(self.observation)

    def take(self, index: Sequence[int] | Tensor) -> Posterior:
        return Posterior(self.prior.take(index), self.h_transform, self.observation.take(index))

    def initial(self, noise: Noise) -> Signal:
        return self.prior.initial(noise)

    def denoise(self, x_t: Signal, t: Times) -> Signal:
        denoised, shift = self.parts(x_t, t)
        return denoised.x_0_hat + shift

    def parts(self, x_t: Signal, t: Times) -> tuple[Denoised, Signal]:
        """What the prior says of x_t, and the shift, from one evaluation; their sum is `denoise`."""
        if not self.h_transform.needs_prior_gradient:
            with torch.no_grad():
                denoised = self.prior.at(x_t, t)
            return denoised, self.h_transform.shift(denoised, self.observation)
        with torch.enable_grad():
            denoised = self.prior.at(x_t.detach().requires_grad_(), t)
            shift = self.h_transform.shift(denoised, self.observation).detach()
        return replace(denoised, x_t=x_t, x_0_hat=denoised.x_0_hat.detach()), shift
