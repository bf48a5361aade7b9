"""A posterior is a prior.

    E[x_0 | x_t, y] = E[x_0 | x_t] + shift

`Posterior` wraps a prior, an h-transform and an observation, and denoises like the prior that it
wraps; every sampler runs on both and never sees y.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import final

import torch
from torch import Tensor

from deft.errors import InvalidInput, PriorNotDifferentiable
from deft.htransforms.base import HTransform, ask, stays
from deft.htransforms.derivative import instead, say_nothing
from deft.htransforms.trained import warn_other_steps, warn_outside_training
from deft.likelihoods import Observation
from deft.priors.base import Prior
from deft.priors.denoised import Asked, Denoised
from deft.priors.wrapped import WrappedPrior
from deft.transitions import Steps
from deft.types import Signal, Times


@final
class Posterior(WrappedPrior):
    """p(x_0 | y) as a prior.

    The only place that decides whether the *prior* is differentiated; the graph of h's own
    parameters follows the caller. Raises `PriorNotDifferentiable` at construction where the
    h-transform needs gradients that the prior has not, and `InvalidInput` where the h-transform
    does not apply to the prior or the observation, or where the three are not on one device. An
    observation in another precision is taken in that of the prior (`Observation.in_dtype`), and
    that of a prior with a codec as one of what it decodes (`Observation.behind`): y is given in
    signal space.
    """

    prediction = "x_0"

    def __init__(self, prior: Prior, h_transform: HTransform, observation: Observation) -> None:
        if h_transform.needs_prior_gradient and not prior.differentiable:
            raise _not_differentiable(prior, h_transform, observation)
        if h_transform.needs_prior_gradient:
            stays(
                h_transform,
                "a gradient of the prior",
                "use an h-transform whose `point` is x_t: the gradient is at x_t",
            )
        _same_device(
            prior, "h_transform", next((p.device for p in h_transform.parameters()), prior.device)
        )
        observation = fitted(prior, observation)
        h_transform.check(prior, observation)
        warn_outside_training(h_transform, observation)
        self._assign(prior, h_transform, observation, set())

    def _assign(
        self, prior: Prior, h_transform: HTransform, observation: Observation, said: set[str]
    ) -> None:
        WrappedPrior.__init__(self, prior)
        self.h_transform, self.observation = h_transform, observation
        self.differentiable = prior.differentiable and h_transform.differentiable
        self._said = said  # shared with its parts: what was asked once

    @property
    def name(self) -> str:
        return f"{self.prior.name} given y by {type(self.h_transform).__name__}"

    @property
    def num_observations(self) -> int:
        return len(self.observation)

    def take(self, index: Sequence[int] | Tensor) -> Posterior:
        part = Posterior.__new__(Posterior)  # what was checked for all holds for some
        part._assign(
            self.prior.take(index), self.h_transform, self.observation.take(index), self._said
        )
        return part

    def around(self, prior: Prior) -> Posterior:
        return Posterior(prior, self.h_transform, self.observation)

    def on(self, steps: Steps) -> Posterior:
        warn_other_steps(self.h_transform, steps)
        bound = Posterior.__new__(Posterior)
        bound._assign(
            self.prior.on(steps), self.h_transform.on(steps), self.observation, self._said
        )
        return bound

    def identity(self) -> dict[str, object]:
        """That of a prior of its own: the hash is of prior and h-transform."""
        return Prior.identity(self)

    def denoise(self, x_t: Signal, t: Times) -> Signal:
        said, shift = self._asked(x_t, t)
        return said.x_0_hat + shift

    def parts(self, x_t: Signal, t: Times) -> tuple[Denoised, Signal]:
        """What the prior says of x_t, and the shift; their sum is `denoise`. On the graph of x_t
        where that asks for gradients, and h lets them pass.

        One evaluation of the prior, or two where the h-transform asks it elsewhere than at x_t.
        """
        said, shift = self._asked(x_t, t)
        if not self.h_transform.asks_elsewhere:
            return said, shift  # type: ignore[return-value]
        with self._follows(x_t):
            own = self.prior.at(x_t, t)
        return own, said.x_0_hat + shift - own.x_0_hat

    def _follows(self, x_t: Signal) -> torch.set_grad_enabled:
        return torch.set_grad_enabled(
            torch.is_grad_enabled() and x_t.requires_grad and self.differentiable
        )

    def _asked(self, x_t: Signal, t: Times) -> tuple[Denoised | Asked, Signal]:
        """What the prior says where h asks it, from one evaluation, and the shift against that."""
        denoised: Denoised | Asked
        if not self.h_transform.needs_prior_gradient:
            with self._follows(x_t):
                denoised = ask(self.h_transform, self.prior, x_t, t, self.observation)
            shift = self.h_transform.shift(denoised, self.observation)  # type: ignore[arg-type]
        else:
            with torch.inference_mode(False), torch.enable_grad():
                denoised = self.prior.at(x_t.detach().clone().requires_grad_(), t)
                if not denoised.x_0_hat.requires_grad:
                    raise _not_differentiable(self.prior, self.h_transform, self.observation)
                shift = self.h_transform.shift(denoised, self.observation).detach()
            denoised = replace(denoised, x_t=x_t, x_0_hat=denoised.x_0_hat.detach())
        self._warn_once(denoised, shift)
        return denoised, shift

    def _warn_once(self, denoised: Denoised | Asked, shift: Signal) -> None:
        """At the first evaluation: `SaysNothing` where the h-transform leaves a measurement unused
        that the estimate does not explain.
        """
        if self._said or not self.h_transform.conditions or not len(denoised.x_t):
            return
        self._said.add("asked")
        with torch.no_grad():
            quiet = self.h_transform.silent(denoised, self.observation, shift)
            if quiet and _unexplained(self.observation, denoised.x_0_hat):
                name = type(self.h_transform).__name__
                say_nothing(
                    name,
                    type(self.observation.operator).__name__,
                    instead(self.prior, self.observation, name),
                )


def fitted(prior: Prior, observation: Observation) -> Observation:
    """An observation in the precision of a prior, and of what its codec decodes, where it has one.

    Raises `InvalidInput` where they are on two devices, or the prior is conditioned on another
    number of signals.
    """
    if prior.num_observations not in (1, len(observation)):
        raise InvalidInput(
            f"the prior is conditioned on {prior.num_observations} signals and the observation "
            f"holds {len(observation)}; give one context for all, or as many."
        )
    _same_device(prior, "observation", observation.y.device)
    observation = observation.in_dtype(prior.dtype)
    return observation if prior.codec is None else observation.behind(prior.codec)


def _same_device(prior: Prior, what: str, device: torch.device) -> None:
    if device != prior.device:
        raise InvalidInput(
            f"the prior is on {prior.device} and the {what} on {device}; use "
            f"{what}.to(prior.device)."
        )


def _unexplained(observation: Observation, x_0_hat: Signal) -> bool:
    """Whether the residual is not zero; a label has none, and is never explained."""
    return not observation.likelihood.measures or bool((observation.residual(x_0_hat) != 0).any())


def _not_differentiable(
    prior: Prior, h_transform: HTransform, observation: Observation
) -> PriorNotDifferentiable:
    name, kind = type(h_transform).__name__, type(prior).__name__
    inner = f" of {type(prior.h_transform).__name__}" if isinstance(prior, Posterior) else ""
    return PriorNotDifferentiable(
        f"{name} needs gradients through {kind}{inner}",
        given=prior.name,
        expected="a prior that lets gradients pass",
        advice=instead(prior, observation, name, gradients=False),
    )
