"""h-transforms: what conditioning adds to a prior.

    grad log p_t(x_t | y) = grad log p_t(x_t) + grad log h(x_t, t),
    h(x_t, t) = p(y | x_t) = E[p(y | x_0) | x_t]
    E[x_0 | x_t, y]       = E[x_0 | x_t] + shift,
    shift = (sigma_t^2 / alpha_t) grad log h(x_t, t)

The interface carries the shift, which is finite at every noise level. An h-transform reads what the
prior said (`Denoised`) and the observation; it never calls the prior, never sees a sampler and
draws no noise. It may say where the prior is asked (`point`).
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import final

import torch
from torch import nn

from deft.errors import InvalidInput
from deft.likelihoods import Observation
from deft.priors.base import Prior
from deft.priors.denoised import Asked, Denoised
from deft.transitions import Steps
from deft.types import Axes, LogProb, Signal, Times


class HTransform(nn.Module, ABC):
    """An approximation to the h-transform; deterministic (methods that draw noise are samplers).

    `needs_prior_gradient` says whether `shift` differentiates the prior, which doubles the cost of
    a step and needs a prior that can be differentiated. A step costs one evaluation of the prior
    and what the two `_per_step` properties say.
    """

    needs_prior_gradient: bool = False
    conditions: bool = True  # whether y has a say
    event_axes: Axes | None = None  # what the axes of its signals are; None for any
    trained_sigma_y: tuple[float, float] | None = (
        None  # the noise levels of its training, where a card says them; others are a warning
    )
    distilled_for: tuple[float, ...] | None = (
        None  # the log-SNRs that it speaks at, of one that was distilled; others are a warning
    )

    @abstractmethod
    def shift(self, denoised: Denoised, observation: Observation) -> Signal:
        """E[x_0 | x_t, y] less what the prior said: of x_t, unless `point` leads elsewhere."""

    def point(
        self, prior: Prior, x_t: Signal, t: Times, observation: Observation
    ) -> tuple[Signal, Times]:
        """Where the prior is asked: (x, t'), x_t itself by default. One that overrides this is
        given `Asked` in `shift`, not `Denoised`.
        """
        return x_t, t

    def on(self, steps: Steps) -> HTransform:
        """The h-transform bound to the steps that a sampler will take: itself, unless its `weight`
        is published as a change of them (deft.htransforms.weights).
        """
        bind = getattr(getattr(self, "weight", None), "on", None)
        if bind is None:
            return self
        bound = copy.copy(self)
        bound.weight = bind(steps)
        return bound

    @property
    def asks_elsewhere(self) -> bool:
        """Whether `point` may be another one than x_t."""
        return type(self).point is not HTransform.point

    def check(self, prior: Prior, observation: Observation) -> None:
        """Raise `InvalidInput` where this h-transform does not apply to a prior or an observation;
        a `Posterior` asks at construction.
        """

    def silent(self, denoised: Denoised | Asked, observation: Observation, shift: Signal) -> bool:
        """Whether the measurement has no say: `shift`, which it gave, is exactly zero everywhere.
        One whose network reads y by its guidance alone asks that instead.
        """
        return not bool((shift != 0).any())

    def trainable(self) -> HTransform:
        """What training goes on with: itself, or the part of it that learns by gradients."""
        return self

    @property
    def differentiable(self) -> bool:
        """Whether gradients with respect to x_t pass through `shift` too, so that the posterior can
        be differentiated as a prior.
        """
        return not self.needs_prior_gradient

    @property
    def prior_gradients_per_step(self) -> int | None:
        """Vector-Jacobian products with the prior, at most, in one call of `shift`; None where
        their number depends on the measurement.
        """
        return int(self.needs_prior_gradient)

    @property
    def network_evaluations_per_step(self) -> int:
        """Evaluations of networks of its own, beside the one of the prior, in one call of
        `shift`.
        """
        return int(self.num_parameters > 0)

    def grad_log_h(self, denoised: Denoised, observation: Observation) -> Signal:
        """alpha_t / sigma_t^2 * shift. Raises `InvalidInput` where the prior is not asked at x_t:
        the shift is then not that of x_t.
        """
        stays(
            self,
            "grad_log_h",
            "use alpha_t / sigma_t^2 times the shift of `Posterior.parts`, which asks the prior "
            "at x_t too",
        )
        return denoised.alpha_t / denoised.sigma_t**2 * self.shift(denoised, observation)

    @property
    def num_parameters(self) -> int:
        """How many parameters are learned."""
        return sum(p.numel() for p in self.parameters())


class Potential(HTransform):
    """An h-transform with a density: shift = (sigma_t^2 / alpha_t) grad_{x_t} log h, through the
    prior.
    """

    needs_prior_gradient = True

    @abstractmethod
    def log_h(self, denoised: Denoised, observation: Observation) -> LogProb:
        """log h(x_t, t), up to a constant that does not depend on x_t."""

    def shift(self, denoised: Denoised, observation: Observation) -> Signal:
        return (
            denoised.sigma_t**2
            / denoised.alpha_t
            * denoised.gradient(self.log_h(denoised, observation))
        )


class DataConsistency(HTransform):
    """An h-transform that replaces the estimate: shift = x_0' - x_0_hat."""

    @abstractmethod
    def consistent(self, denoised: Denoised, observation: Observation) -> Signal:
        """x_0', the estimate made consistent with the measurement."""

    def shift(self, denoised: Denoised, observation: Observation) -> Signal:
        return self.consistent(denoised, observation) - denoised.x_0_hat


def ask(
    h_transform: HTransform, prior: Prior, x_t: Signal, t: Times, observation: Observation
) -> Denoised | Asked:
    """What the prior says for x_t, from one evaluation, where this h-transform asks it."""
    x, there = h_transform.point(prior, x_t, t, observation)
    if x is x_t and there is t:
        return prior.at(x_t, t)
    return Asked(x_t, t, *prior.levels(x_t, t), prior.at(x, there))


def stays(h_transform: HTransform, who: str, advice: str) -> None:
    """Raise `InvalidInput` where an h-transform asks the prior elsewhere than at x_t, which `who`
    has no meaning for.
    """
    if h_transform.asks_elsewhere:
        raise InvalidInput(
            f"{who} of {type(h_transform).__name__}",
            given="an h-transform that asks the prior at another point than x_t",
            expected="one whose shift is against the prior's estimate at x_t",
            advice=advice,
        )


@final
class NoConditioning(HTransform):
    """shift = 0: the prior itself; what every method is compared with."""

    conditions = False

    def shift(self, denoised: Denoised, observation: Observation) -> Signal:
        return torch.zeros_like(denoised.x_0_hat)
