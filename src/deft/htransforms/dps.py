"""Diffusion posterior sampling: the likelihood of the estimate, differentiated through the prior.

h(x_t) ~ p(y | x_0_hat(x_t)),    with the gradient's length given by a weight instead of by sigma_y
"""

from __future__ import annotations

from typing import final

from deft.htransforms.base import HTransform
from deft.htransforms.derivative import need_derivative
from deft.htransforms.weights import GradientStep, Weight, checked_weight, weight_at
from deft.likelihoods import Observation
from deft.priors.base import Prior
from deft.priors.denoised import Denoised
from deft.types import Signal, norm


@final
class DPS(HTransform):
    """Diffusion posterior sampling.

        grad log h(x_t) = -weight(t) * grad_{x_t} ||y - A(x_0_hat(x_t))||

    Chung et al. 2023, arXiv:2209.14687, Algorithm 1. `weight` is in units of the score, a number or
    a function of t; `DPS.published` converts the paper's step size zeta. The norm is per signal,
    not over the batch, so that a sample does not depend on its neighbours.
    """

    needs_prior_gradient = True

    def __init__(self, weight: Weight) -> None:
        super().__init__()
        self.weight = checked_weight("the weight of DPS", weight)

    @classmethod
    def published(cls, zeta: float) -> DPS:
        """The h-transform with which DDIM takes the published step.

            x_s = a x_0_hat + b x_t + c z - zeta grad_{x_t} ||y - A x_0_hat||

        A DDIM step moves by a * shift, so that shift = -(zeta / a) grad, and the weight of the
        score is zeta alpha_t / (a sigma_t^2); a = 1 in the last step, which returns x_0_hat. The
        paper's sampler is eta = 1. It is bound to the steps when sampling starts; another sampler
        is an `InvalidInput`.
        """
        return cls(GradientStep(zeta))

    def shift(self, denoised: Denoised, observation: Observation) -> Signal:
        distance = norm(observation.residual(denoised.x_0_hat))
        grad_log_h = -weight_at(self.weight, denoised) * denoised.gradient(distance)
        return denoised.sigma_t**2 / denoised.alpha_t * grad_log_h

    def check(self, prior: Prior, observation: Observation) -> None:
        need_derivative(prior, observation, "DPS")
