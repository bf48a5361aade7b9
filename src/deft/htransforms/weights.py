"""Weights of guidance: a number, a function of t, or what a paper publishes for each step of its
sampler.

    x_s = a x_0_hat + b x_t + c z - zeta grad

A DDIM step moves by a * shift, so that a step size for x_s is a weight of the score that depends on
the grid: it is known when sampling starts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from deft import checks
from deft.errors import InvalidInput
from deft.priors.denoised import Denoised
from deft.transitions import Steps
from deft.types import Times, expand

Weight = float | Callable[[Times], Times]


def checked_weight(what: str, weight: Weight) -> Weight:
    """A function of t as it is, or a finite number >= 0."""
    return (
        weight
        if callable(weight)
        else checks.non_negative(
            what, weight, "or a function of t", "a small positive number, or `published`"
        )
    )


def weight_at(weight: Weight, denoised: Denoised) -> Tensor:
    """A weight, number or function, at the times of `denoised`, shaped to broadcast against its
    signals.
    """
    value = torch.as_tensor(weight(denoised.t) if callable(weight) else weight)
    return expand(value, denoised.x_t).to(denoised.x_t)


class ByStep(ABC):
    """A weight that is published for the steps of DDIM. Before it is bound to steps it raises
    `InvalidInput`.
    """

    @abstractmethod
    def weights(self, steps: Steps) -> Tensor:
        """The weight of the score in each step."""

    @final
    def on(self, steps: Steps) -> Tabulated:
        """The weight at the times of these steps. Raises `InvalidInput` where they are not those of
        DDIM.
        """
        if steps.eta is None:
            raise InvalidInput(
                "a published step size",
                given="a sampler whose steps are not DDIM's",
                expected="DDIM(steps, eta)",
                advice="use DDIM, or give a `weight`",
            )
        return Tabulated(steps.times.double(), self.weights(steps))

    @final
    def __call__(self, t: Times) -> Times:
        raise InvalidInput(
            "a published step size",
            given="no steps of a sampler, to which it belongs",
            expected="an h-transform that is bound to them",
            advice="sample with DDIM, which binds it, or call .on(Steps(schedule, times, eta)) "
            "first",
        )


@final
class GradientStep(ByStep):
    """x_s less zeta times a gradient: zeta alpha_t / (a sigma_t^2)."""

    def __init__(self, zeta: float) -> None:
        self.zeta = checks.non_negative("zeta", zeta, "the step size")

    def weights(self, steps: Steps) -> Tensor:
        t = steps.times.double()
        return (
            self.zeta * steps.schedule.alpha(t) / (steps.moved_by() * steps.schedule.sigma(t) ** 2)
        )


@final
class Tabulated:
    """A weight that is known at the times of one grid only; anywhere else it raises
    `InvalidInput`.
    """

    def __init__(self, times: Tensor, values: Tensor) -> None:
        self.times, self.values = times, values

    def __call__(self, t: Times) -> Times:
        distance, place = (t.double().cpu()[:, None] - self.times.cpu()).abs().min(dim=1)
        if bool((distance > 1e-6).any()):
            raise InvalidInput(
                f"this weight was tabulated for a grid of {len(self.times)} times and asked at t "
                f"= {t.flatten()[distance.argmax()].item():.6g}; "
                "bind it to the steps of the sampler in use."
            )
        return self.values.cpu()[place].to(t)
