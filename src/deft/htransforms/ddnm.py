"""Denoising diffusion null-space models: the measurement fixes what it sees, the prior fills the rest.

x_0' = A^+ y + (I - A^+ A) x_0_hat
"""

from __future__ import annotations

from typing import final

from deft.errors import InvalidInput
from deft.htransforms.base import DataConsistency
from deft.likelihoods import Observation
from deft.operators.base import LinearOperator
from deft.priors.base import Denoised
from deft.types import Signal


@final
class DDNM(DataConsistency):
    """The estimate, made to agree with a noiseless linear measurement exactly.

        x_0' = A^+ y + (I - A^+ A) x_0_hat = x_0_hat + A^+ (y - A x_0_hat)

    Wang et al. 2023, arXiv:2212.00490, eq. 13. It has no parameter. With a noisy measurement it reproduces the noise; the sampler `DDNMPlus` is the
    paper's variant for sigma_y > 0. Raises `InvalidInput` for an operator that is not linear.
    """

    def consistent(self, denoised: Denoised, observation: Observation) -> Signal:
        operator = observation.operator
        if not isinstance(operator, LinearOperator):
            raise InvalidInput(
                f"DDNM needs a linear operator with a pseudo-inverse; got {type(operator).__name__}; use DPS or LearnedHTransform."
            )
        return denoised.x_0_hat + operator.pseudo_inverse(observation.residual(denoised.x_0_hat))
