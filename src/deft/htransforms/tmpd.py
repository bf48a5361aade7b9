"""Tweedie moment projection: what is not known of x_0 has the covariance that the prior itself
tells.

    Cov[x_0 | x_t] = (sigma_t^2 / alpha_t) J,    J = d x_0_hat / d x_t
            (Tweedie's second moment)
    h(x_t) ~ N(y; A x_0_hat, A Cov[x_0 | x_t] A^T + sigma_y^2 I)

J is symmetric for a true denoiser. The dependence of the covariance on x_t is not differentiated.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.htransforms.applies import linear_gaussian, linear_operator
from deft.htransforms.base import HTransform
from deft.likelihoods import Observation
from deft.operators.base import LinearOperator
from deft.priors.base import Prior
from deft.priors.denoised import Denoised
from deft.types import Measurement, Signal, expand


@final
class TMPD(HTransform):
    """Tweedie moment projected diffusions.

        grad log h(x_t) = J^T A^T S^{-1} (y - A x_0_hat),
        S = (sigma_t^2 / alpha_t) diag(|A J A^T 1|) + sigma_y^2 I

    Boys et al. 2023, arXiv:2310.06721: the form that the paper uses on images, with the diagonal
    taken from the row sums of A J A^T, which one vector-Jacobian product gives. They are variances
    where measurements do not correlate given x_t. Where they anticorrelate a row sum can be
    negative (on digits half of them are, at high noise). The absolute value is not published: the
    authors' code (github.com/bb515/tmpdtorch) divides by the row sum plus sigma_y^2, whatever its
    sign, which turns the guidance of such an entry around and has no bound where the two cancel. An
    entry whose variance is 0 gives no guidance. With `full` S is the whole matrix, as in the
    paper's theory: exact for every Gaussian prior, and one product per measurement; `MMPS` solves
    the same system without writing it out. Raises `InvalidInput` for an operator that is not
    linear, for noise that is not Gaussian, and, without `full`, for noise that is correlated: made
    white, it mixes measurements, and the guidance by row sums diverges.
    """

    needs_prior_gradient = True

    def __init__(self, full: bool = False) -> None:
        super().__init__()
        self.full = bool(full)

    @property
    def prior_gradients_per_step(self) -> int | None:
        """2; with `full` one more than there are measurements."""
        return None if self.full else 2

    def shift(self, denoised: Denoised, observation: Observation) -> Signal:
        operator = linear_operator(observation, self)
        gain = denoised.sigma_t**2 / denoised.alpha_t
        with torch.no_grad():
            residual = observation.residual(denoised.x_0_hat)
            whitened = (
                self._by_matrix(denoised, observation, operator, residual)
                if self.full
                else self._by_rows(denoised, observation, operator, residual)
            )
            return gain * denoised.vjp(operator.adjoint(whitened))

    def _by_rows(
        self,
        denoised: Denoised,
        observation: Observation,
        operator: LinearOperator,
        residual: Measurement,
    ) -> Measurement:
        ones = operator.observed(torch.ones_like(residual))
        variance = measured_covariance(denoised, operator, ones).abs() + expand(
            observation.sigma_y.to(residual) ** 2, residual
        )
        usable = variance > 0
        return torch.where(
            usable,
            residual / torch.where(usable, variance, torch.ones_like(variance)),
            torch.zeros_like(residual),
        )

    def _by_matrix(
        self,
        denoised: Denoised,
        observation: Observation,
        operator: LinearOperator,
        residual: Measurement,
    ) -> Measurement:
        batch, m = len(residual), residual[0].numel() if len(residual) else 0
        eye = torch.eye(m, dtype=residual.dtype, device=residual.device)
        columns = [
            measured_covariance(
                denoised, operator, e.reshape(1, *residual.shape[1:]).expand_as(residual)
            ).reshape(batch, m)
            for e in eye
        ]
        covariance = torch.stack(columns, dim=2) if columns else residual.new_zeros(batch, m, m)
        total = covariance + (observation.sigma_y.to(residual) ** 2)[:, None, None] * eye
        inverse = torch.linalg.pinv(total, rtol=1000 * torch.finfo(residual.dtype).eps)
        result: Measurement = (inverse @ residual.reshape(batch, m, 1)).reshape(residual.shape)
        return result

    def check(self, prior: Prior, observation: Observation) -> None:
        linear_gaussian(observation, self, prior)
        if observation.is_correlated and not self.full:
            raise InvalidInput(
                "TMPD by the row sums of A J A^T",
                given="noise that is correlated between measurements",
                expected="independent noise: to make it white each measurement is made of several, "
                "and a sum of a row is no variance",
                advice="use MMPS, or TMPD(full=True)",
            )


def measured_covariance(
    denoised: Denoised, operator: LinearOperator, u: Measurement
) -> Measurement:
    """A Cov[x_0 | x_t] A^T u = (sigma_t^2 / alpha_t) A J^T A^T u."""
    gain: Tensor = denoised.sigma_t**2 / denoised.alpha_t
    return operator.observed(operator.linear(gain * denoised.vjp(operator.adjoint(u))))
