"""The h-transform if x_0 given x_t were Gaussian and white: a density that widens with the noise.

    p(x_0 | x_t) ~ N(x_0_hat, r_t^2 I)    =>    h(x_t) ~ N(y; A x_0_hat, r_t^2 A A^T + sigma_y^2 I)

    r_t^2 = s^2 sigma_t^2 / (alpha_t^2 s^2 + sigma_t^2)

with s the standard deviation of x_0: exact for a white Gaussian prior.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from deft import checks
from deft.htransforms.applies import linear_gaussian, linear_operator
from deft.htransforms.base import Potential
from deft.likelihoods import Observation
from deft.priors.base import Prior
from deft.priors.denoised import Denoised
from deft.types import LogProb, in_double, inner


@final
class GaussianPotential(Potential):
    """log h(x_t) = -(y - A x_0_hat)^T (r_t^2 A A^T + sigma_y^2 I)^{-1} (y - A x_0_hat) / 2, up to a
    constant.

    The twist of `TwistedSMC`: what `PiGDM` (Song et al. 2023, ICLR, openreview 9_gsMA8MRKQ) takes
    the gradient of, as a density. `scale` is s, the prior's. What is known up to a rigid motion (a
    motif) is moved nearest to x_0_hat first, and no gradient passes through the rotation. Raises
    `InvalidInput` for an operator that is not linear, and for noise that is not Gaussian.
    """

    scale: Tensor

    def __init__(self, scale: float) -> None:
        super().__init__()
        scale = checks.positive(
            "scale", scale, "the standard deviation of x_0", "GaussianPotential.for_prior(prior)"
        )
        self.register_buffer("scale", torch.tensor(scale))

    @classmethod
    def for_prior(cls, prior: Prior) -> GaussianPotential:
        """With the prior's standard deviation."""
        return cls(prior.scale)

    def check(self, prior: Prior, observation: Observation) -> None:
        somewhere = torch.zeros(len(observation), *prior.event_shape).to(observation.y)
        linear_gaussian(observation.in_frame(somewhere), self, prior)

    def log_h(self, denoised: Denoised, observation: Observation) -> LogProb:
        observation = observation.in_frame(denoised.x_0_hat)
        operator = linear_operator(observation, self)
        alpha_t, sigma_t = denoised.alpha_t.flatten(), denoised.sigma_t.flatten()
        scale = self.scale.to(alpha_t)
        variance = scale**2 * sigma_t**2 / (alpha_t**2 * scale**2 + sigma_t**2)
        residual = observation.residual(denoised.x_0_hat)
        solved = operator.solve(residual, variance, observation.sigma_y.to(residual) ** 2)
        return -0.5 * inner(in_double(residual), in_double(solved))  # a sum over all entries
