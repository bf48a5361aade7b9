"""h-transforms made of others: sums, multiples, and whatever is around one."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Self, cast, final

import torch
from torch import nn

from deft import checks
from deft.errors import InvalidInput
from deft.htransforms.base import HTransform, stays
from deft.likelihoods import Observation
from deft.priors.base import Prior
from deft.priors.denoised import Asked, Denoised
from deft.transitions import Steps
from deft.types import Signal, Times


@final
class Sum(HTransform):
    """log h = log h_1 + log h_2 + ...: independent measurements, or a learned correction on top of
    a given method.

    Every summand reads the same observation.
    """

    def __init__(self, *parts: HTransform) -> None:
        super().__init__()
        wrong = next((part for part in parts if not isinstance(part, HTransform)), None)
        if not parts or wrong is not None:
            given, expected = wrong or "none", "h-transforms, each an argument"
            raise InvalidInput("Sum needs at least one h-transform", given=given, expected=expected)
        for part in parts:
            stays(part, "Sum", "leave it out of `parts`, or make it with `point='x_t'`")
        self.parts = nn.ModuleList(parts)
        self.needs_prior_gradient = any(part.needs_prior_gradient for part in parts)

    def shift(self, denoised: Denoised, observation: Observation) -> Signal:
        total = torch.zeros_like(denoised.x_0_hat)
        for part in self._parts:
            total = total + part.shift(denoised, observation)
        return total

    def on(self, steps: Steps) -> Sum:
        return Sum(*(part.on(steps) for part in self._parts))

    def check(self, prior: Prior, observation: Observation) -> None:
        for part in self._parts:
            part.check(prior, observation)

    @property
    def differentiable(self) -> bool:
        return all(part.differentiable for part in self._parts)

    @property
    def prior_gradients_per_step(self) -> int | None:
        each = [part.prior_gradients_per_step for part in self._parts]
        return None if None in each else sum(n for n in each if n is not None)

    @property
    def network_evaluations_per_step(self) -> int:
        return sum(part.network_evaluations_per_step for part in self._parts)

    @property
    def _parts(self) -> Iterable[HTransform]:
        return cast(Iterable[HTransform], self.parts)


class Wrapped(HTransform):
    """An h-transform made of another, which is asked once a step."""

    def __init__(self, h_transform: HTransform) -> None:
        super().__init__()
        self.h_transform = h_transform
        self.needs_prior_gradient = h_transform.needs_prior_gradient

    def check(self, prior: Prior, observation: Observation) -> None:
        self.h_transform.check(prior, observation)

    def point(
        self, prior: Prior, x_t: Signal, t: Times, observation: Observation
    ) -> tuple[Signal, Times]:
        return self.h_transform.point(prior, x_t, t, observation)

    def on(self, steps: Steps) -> Self:
        bound = copy.copy(self)
        bound._modules = {**self._modules, "h_transform": self.h_transform.on(steps)}
        return bound

    @property
    def asks_elsewhere(self) -> bool:
        return self.h_transform.asks_elsewhere

    def silent(self, denoised: Denoised | Asked, observation: Observation, shift: Signal) -> bool:
        return super().silent(denoised, observation, shift) or self.h_transform.silent(
            denoised, observation, shift
        )

    @property
    def differentiable(self) -> bool:
        return self.h_transform.differentiable

    @property
    def prior_gradients_per_step(self) -> int | None:
        return self.h_transform.prior_gradients_per_step

    @property
    def network_evaluations_per_step(self) -> int:
        return self.h_transform.network_evaluations_per_step


@final
class Scaled(Wrapped):
    """log h' = weight * log h: guidance, stronger or weaker than the h-transform itself (weight
    1).
    """

    def __init__(self, h_transform: HTransform, weight: float) -> None:
        super().__init__(h_transform)
        stays(
            h_transform,
            "Scaled",
            "use one made with `point='x_t'`: `weight` is on what y adds to the prior's estimate "
            "at x_t",
        )
        self.weight = checks.finite(
            "weight", weight, "the factor on log h", "use 1 for the h-transform as it is"
        )

    def shift(self, denoised: Denoised, observation: Observation) -> Signal:
        return self.weight * self.h_transform.shift(denoised, observation)
