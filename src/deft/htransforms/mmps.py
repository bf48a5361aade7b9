"""Moment matching: the covariance that the prior itself tells, in a system solved by products with
it alone.

Cov[x_0 | x_t] = (sigma_t^2 / alpha_t) J,    J = d x_0_hat / d x_t      (Tweedie's second moment)
h(x_t) ~ N(y; A x_0_hat, A Cov[x_0 | x_t] A^T + sigma_y^2 I)
"""

from __future__ import annotations

from typing import final

import torch

from deft import checks
from deft.htransforms.applies import linear_gaussian, linear_operator
from deft.htransforms.base import HTransform
from deft.htransforms.tmpd import measured_covariance
from deft.likelihoods import Observation
from deft.operators.solvers import conjugate_gradients
from deft.priors.base import Prior
from deft.priors.denoised import Denoised
from deft.types import Measurement, Signal, expand


@final
class MMPS(HTransform):
    """Moment matching posterior sampling.

        grad log h(x_t) = J^T A^T u,    (A Cov[x_0 | x_t] A^T + sigma_y^2 I) u = y - A x_0_hat

    Rozet et al. 2024, arXiv:2405.13712, eq. 19-22. u comes from `iterations` steps of conjugate
    gradients that start at 0, each with one vector-Jacobian product; 1, as in the paper's image
    experiments, is a steepest descent of the right length, and as many as there are measurements
    solve the system: exact for every Gaussian prior. A signal that reaches 1e-6 of the right-hand
    side, or a direction in which J is not positive, stops. Raises `InvalidInput` for an operator
    that is not linear, and for noise that is not Gaussian.
    """

    needs_prior_gradient = True

    def __init__(self, iterations: int = 1) -> None:
        super().__init__()
        self.iterations = checks.whole(
            "iterations", iterations, meaning="of conjugate gradients in each step"
        )

    @property
    def prior_gradients_per_step(self) -> int:
        """One per iteration, and one for J^T A^T u."""
        return self.iterations + 1

    def shift(self, denoised: Denoised, observation: Observation) -> Signal:
        operator = linear_operator(observation, self)
        with torch.no_grad():
            residual = observation.residual(denoised.x_0_hat)
            s_2 = expand(observation.sigma_y.to(residual) ** 2, residual)

            def system(u: Measurement) -> Measurement:
                return measured_covariance(denoised, operator, u) + s_2 * u

            u = conjugate_gradients(system, residual, self.iterations)
            return denoised.sigma_t**2 / denoised.alpha_t * denoised.vjp(operator.adjoint(u))

    def check(self, prior: Prior, observation: Observation) -> None:
        linear_gaussian(observation, self, prior)
