"""Gaussian noise.

y = A(x_0) + sigma_y eps,
log p(y | x_0) = -||y - A(x_0)||^2 / (2 sigma_y^2) - m log(sigma_y sqrt(2 pi))
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.likelihoods.base import Likelihood, in_double, precise
from deft.noise import Noise
from deft.operators.base import ForwardOperator
from deft.types import LogProb, Measurement, Signal, Times, as_index, expand, norm


@final
class GaussianLikelihood(Likelihood):
    """y = A(x_0) + sigma_y eps; sigma_y >= 0, in the units of y, one number for all signals or one
    per signal.
    """

    def __init__(self, operator: ForwardOperator, sigma_y: float | Tensor) -> None:
        super().__init__()
        expected = (
            "a standard deviation >= 0 in the units of y, finite: one number, or one per signal"
        )
        try:
            sigma_y = torch.as_tensor(sigma_y)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InvalidInput("sigma_y", given=sigma_y, expected=expected) from error
        if sigma_y.is_complex() or sigma_y.dtype == torch.bool or sigma_y.ndim > 1:
            raise InvalidInput(
                "sigma_y",
                given=f"{sigma_y.dtype} of shape {tuple(sigma_y.shape)}",
                expected=expected,
            )
        sigma_y = sigma_y.to(torch.get_default_dtype()).reshape(-1)
        good = (sigma_y >= 0) & sigma_y.isfinite()
        if not bool(good.all()):
            raise InvalidInput(
                "sigma_y",
                given=float(sigma_y[~good][0]),
                expected=expected,
                advice="use 0 for no noise",
            )
        self.operator = operator
        self.register_buffer("sigma_y", sigma_y)

    def log_prob(self, x_0: Signal, y: Measurement) -> LogProb:
        if bool((self.sigma_y == 0).any()):
            raise InvalidInput(
                "a measurement without noise (sigma_y = 0) has no density; give a sigma_y > 0."
            )
        sigma_y, m = in_double(self.sigma_y), in_double(self.operator.count(y))
        residual = self.operator.difference(in_double(y), precise(self.operator, x_0))
        return -0.5 * (norm(residual) / sigma_y) ** 2 - m * (
            sigma_y.log() + 0.5 * math.log(2 * math.pi)
        )

    def sample(self, x_0: Signal, noise: Noise) -> Measurement:
        clean = self.operator(x_0)
        return self.operator.observed(
            clean
            + expand(self.sigma_y, clean)
            * noise.to(clean.device, clean.dtype).normal(0, clean.shape[1:])
        )

    def guidance(self, x_0_hat: Signal, r_t: Times, y: Measurement) -> Signal:
        return expand(r_t, x_0_hat) * self.operator.guided(x_0_hat, y, r_t**2, self.sigma_y**2)

    def misfit(self, x_0: Signal, y: Measurement) -> LogProb:
        """||y - A x_0|| / (sigma_y sqrt(m)), 1 where x_0 explains y as well as the truth does;
        at sigma_y = 0 the residual ||y - A x_0|| / sqrt(m).
        """
        per_entry = norm(self.residual(x_0, y)) / self.operator.count(y).sqrt()
        return per_entry / torch.where(
            self.sigma_y > 0, self.sigma_y, torch.ones_like(self.sigma_y)
        )

    def take(self, index: Sequence[int] | Tensor) -> GaussianLikelihood:
        index = as_index(index)
        sigma_y = (
            self.sigma_y if len(self.sigma_y) == 1 else self.sigma_y[index.to(self.sigma_y.device)]
        )
        return GaussianLikelihood(self.operator.take(index), sigma_y)
