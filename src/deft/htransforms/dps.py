"""Diffusion posterior sampling: the likelihood of the estimate, differentiated through the prior.

h(x_t) ~ p(y | x_0_hat(x_t)),    with the gradient's length given by a weight instead of by sigma_y
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from deft import checks
from deft.errors import InvalidInput
from deft.htransforms.base import HTransform
from deft.htransforms.derivative import need_derivative
from deft.likelihoods import Observation
from deft.priors.base import Denoised, Prior
from deft.schedules import Schedule
from deft.types import Signal, Times, expand, norm

Weight = float | Callable[[Times], Times]


@final
class DPS(HTransform):
    """Diffusion posterior sampling.

        grad log h(x_t) = -weight(t) * grad_{x_t} ||y - A(x_0_hat(x_t))||

    Chung et al. 2023, arXiv:2209.14687, Algorithm 1. `weight` is in units of the score, a number or a function of t; `DPS.published` converts the
    paper's step size zeta. The norm is per signal, not over the batch, so that a sample does not depend on its neighbours.
    """

    needs_prior_gradient = True

    def __init__(self, weight: Weight) -> None:
        super().__init__()
        self.weight = checked_weight("the weight of DPS", weight)

    @classmethod
    def published(cls, zeta: float, times: Tensor, eta: float, schedule: Schedule) -> DPS:
        """The h-transform with which DDIM(eta) takes the published step on the grid `times` (`sampler.grid.times(schedule, steps)`).

            x_s = a x_0_hat + b x_t + c z - zeta grad_{x_t} ||y - A x_0_hat||

        A DDIM step moves by a * shift, so that shift = -(zeta / a) grad, and the weight of the score is zeta alpha_t / (a sigma_t^2); a = 1 in the last
        step, which returns x_0_hat. The paper's sampler is eta = 1. On another grid the weight raises `InvalidInput`.
        """
        zeta, eta = checks.non_negative("zeta", zeta, "the step size"), checks.share("eta", eta, "the share of fresh noise")
        t = times.double()
        alpha, sigma = schedule.alpha(t), schedule.sigma(t)
        return cls(Tabulated(t, zeta * alpha / (moved_by(t, eta, schedule) * sigma**2)))

    def shift(self, denoised: Denoised, observation: Observation) -> Signal:
        distance = norm(observation.residual(denoised.x_0_hat))
        grad_log_h = -weight_at(self.weight, denoised) * denoised.gradient(distance)
        return denoised.sigma_t**2 / denoised.alpha_t * grad_log_h

    def check(self, prior: Prior, observation: Observation) -> None:
        need_derivative(prior, observation, "DPS")


def checked_weight(what: str, weight: Weight) -> Weight:
    """A function of t as it is, or a finite number >= 0."""
    return (
        weight if callable(weight) else checks.non_negative(what, weight, "or a function of t", "a small positive number, or `published`")
    )


def weight_at(weight: Weight, denoised: Denoised) -> Tensor:
    """A weight, number or function, at the times of `denoised`, shaped to broadcast against its signals."""
    value = weight(denoised.t) if callable(weight) else torch.full_like(denoised.t, weight)
    return expand(value, denoised.x_t).to(denoised.x_t)


def moved_by(times: Tensor, eta: float, schedule: Schedule) -> Tensor:
    """a, the factor by which each step of DDIM(eta) along the grid `times` moves when x_0_hat does; 1 in the last, which returns x_0_hat."""
    t = times.double()
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    alpha_t, alpha_s, sigma_t, sigma_s = alpha[:-1], alpha[1:], sigma[:-1], sigma[1:]
    c = eta * sigma_s * (1 - (alpha_t * sigma_s / (alpha_s * sigma_t)) ** 2).clamp(min=0).sqrt()
    b = (sigma_s**2 - c**2).clamp(min=0).sqrt() / sigma_t
    return torch.cat([alpha_s - b * alpha_t, torch.ones_like(alpha[:1])])


@final
class Tabulated:
    """A weight that is known at the times of one grid only; anywhere else it raises `InvalidInput`."""

    def __init__(self, times: Tensor, values: Tensor) -> None:
        self.times, self.values = times, values

    def __call__(self, t: Times) -> Times:
        distance, place = (t.double().cpu()[:, None] - self.times.cpu()).abs().min(dim=1)
        if bool((distance > 1e-6).any()):
            raise InvalidInput(
                f"this weight was tabulated for a grid of {len(self.times)} times and asked at t = {t.flatten()[distance.argmax()].item():.6g}; "
                "tabulate it for the grid of the sampler in use."
            )
        return self.values.cpu()[place].to(t)
