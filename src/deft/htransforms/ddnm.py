"""Denoising diffusion null-space models: the measurement fixes what it sees, the prior fills the
rest.

x_0' = A^+ y + (I - A^+ A) x_0_hat
"""

from __future__ import annotations

from typing import final

from deft.htransforms.applies import linear_operator
from deft.htransforms.base import DataConsistency
from deft.likelihoods import Observation
from deft.priors.base import Prior
from deft.priors.denoised import Denoised
from deft.types import Signal


@final
class DDNM(DataConsistency):
    """The estimate, made to agree with a noiseless linear measurement exactly.

        x_0' = A^+ y + (I - A^+ A) x_0_hat = x_0_hat + A^+ (y - A x_0_hat)

    Wang et al. 2023, arXiv:2212.00490, eq. 13. It has no parameter. With a noisy measurement it
    reproduces the noise; the sampler `DDNMPlus` is the paper's variant for sigma_y > 0. Raises
    `InvalidInput` for an operator that is not linear.
    """

    def consistent(self, denoised: Denoised, observation: Observation) -> Signal:
        operator = linear_operator(observation, self)
        return denoised.x_0_hat + operator.pseudo_inverse(observation.residual(denoised.x_0_hat))

    def check(self, prior: Prior, observation: Observation) -> None:
        linear_operator(observation, self, prior)
