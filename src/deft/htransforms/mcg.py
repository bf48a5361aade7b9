"""Manifold constrained gradients: the measurement fixes what it sees, and pulls the rest along
through the prior.

x_0' = A^+ y + (I - A^+ A) (x_0_hat - weight grad_{x_t} ||y - A x_0_hat||)
"""

from __future__ import annotations

from typing import final

from deft import checks
from deft.htransforms.applies import linear_operator
from deft.htransforms.base import HTransform
from deft.htransforms.dps import DPS
from deft.htransforms.weights import Weight, checked_weight
from deft.likelihoods import Observation
from deft.priors.base import Prior
from deft.priors.denoised import Denoised
from deft.transitions import Steps
from deft.types import Signal


@final
class MCG(HTransform):
    """Manifold constrained gradient, with projection onto the measurement.

        shift = A^+ (y - A x_0_hat) - (I - A^+ A) (sigma_t^2 / alpha_t) weight(t) grad_{x_t} ||y
            - A x_0_hat(x_t)||

    Chung, Sim, Ryu and Ye 2022, arXiv:2206.00941, Algorithm 1, with W = I. `weight` is in units of
    the score, a number or a function of t; `MCG.published` converts the paper's step size. The norm
    is per signal, not over the batch. It supposes sigma_y = 0, and reproduces the noise of a noisy
    measurement. The paper draws the measured part of x_s afresh, from p(x_s | x_0 = y); here, where
    an h-transform draws nothing, it is a y + b A x_t + c A z: the same law, with the noise of the
    path. Raises `InvalidInput` for an operator that is not linear.
    """

    needs_prior_gradient = True

    def __init__(self, weight: Weight) -> None:
        super().__init__()
        self.gradient = DPS(checked_weight("the weight of MCG", weight))

    @classmethod
    def published(cls, step: float = 1.0) -> MCG:
        """The h-transform with which DDIM takes the published step; it is bound to the steps when
        sampling starts.

            x_s' = a x_0_hat + b x_t + c z,
            x_s = (I - A^+ A) (x_s' - step grad_{x_t} ||y - A x_0_hat||) + A^+ (a y + b A x_t
                + c A z)

        `step` is 1 in the paper's inpainting and 0.1 in its colourisation: alpha = step / (2 ||y -
        A x_0_hat||) in front of the squared distance.
        """
        return cls(
            DPS.published(checks.non_negative("step", step, "the size of MCG's gradient")).weight
        )

    def on(self, steps: Steps) -> MCG:
        gradient = self.gradient.on(steps)
        return self if gradient is self.gradient else MCG(gradient.weight)  # type: ignore[arg-type]

    def shift(self, denoised: Denoised, observation: Observation) -> Signal:
        operator = linear_operator(observation, self)
        pull = self.gradient.shift(denoised, observation)
        x_0_hat = denoised.x_0_hat.detach()
        return pull + operator.pseudo_inverse(
            observation.residual(x_0_hat) - operator.observed(operator.linear(pull))
        )

    def check(self, prior: Prior, observation: Observation) -> None:
        linear_operator(observation, self, prior)
