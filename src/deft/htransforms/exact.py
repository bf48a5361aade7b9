"""The h-transform in closed form, for a Gaussian mixture and a linear Gaussian measurement.

    shift = E[x_0 | x_t, y] - E[x_0 | x_t]

p(x_0 | y) is a mixture again (`deft.priors.gaussian_mixture`), whose denoiser is the first term.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from deft.errors import InvalidInput
from deft.htransforms.applies import linear_gaussian, made_for
from deft.htransforms.base import HTransform
from deft.likelihoods import GaussianLikelihood, Observation
from deft.operators.base import LinearOperator
from deft.priors.base import Prior
from deft.priors.denoised import Denoised
from deft.priors.gaussian_mixture import GaussianMixture
from deft.types import LogProb, Signal, Times, expand


@final
class Exact(HTransform):
    """The h-transform of a Gaussian mixture prior: what every method approximates.

    The observation is Gaussian with a linear (or affine) operator, its own for each signal if it
    likes; sigma_y = 0 is allowed. The operator is written out as a matrix, so this is for small
    signals. Raises `InvalidInput` for an operator that is not linear.
    """

    def __init__(self, mixture: GaussianMixture) -> None:
        super().__init__()
        self.mixture = mixture

    def shift(self, denoised: Denoised, observation: Observation) -> Signal:
        x_t, t = self._own(denoised)
        return self.posterior(observation).denoise(x_t, t) - denoised.x_0_hat

    def check(self, prior: Prior, observation: Observation) -> None:
        made_for(self, self.mixture.event_shape, prior)
        linear_gaussian(observation, self, prior)

    def _own(self, denoised: Denoised) -> tuple[Signal, Times]:
        """x_t and its time under the mixture's schedule, where the prior runs under another: the
        same x_t / alpha_t and log-SNR.
        """
        t, schedule = denoised.t.double(), self.mixture.schedule
        log_snr = denoised.log_snr.double()
        if torch.allclose(schedule.log_snr(t), log_snr, rtol=0, atol=1e-4):
            return denoised.x_t, denoised.t
        own = schedule.time(log_snr)
        ratio = schedule.alpha(own) / denoised.alpha_t.double().flatten()
        return expand(ratio, denoised.x_t).to(denoised.x_t) * denoised.x_t, own

    def posterior(self, observation: Observation) -> GaussianMixture:
        """p(x_0 | y), one mixture per observation."""
        return self.mixture.posterior(
            *matrix_form(observation, self.mixture.event_shape), observation.sigma_y
        )

    def evidence(self, observation: Observation) -> LogProb:
        """log p(y), needs sigma_y > 0; entries of y that are no measurements do not count."""
        a, y = matrix_form(observation, self.mixture.event_shape)
        missing = y.shape[1] - observation.operator.count(observation.y)
        return self.mixture.evidence(a, y, observation.sigma_y) + missing * (
            observation.sigma_y.log() + 0.5 * math.log(2 * math.pi)
        )


def matrix_form(
    observation: Observation, event_shape: Sequence[int]
) -> tuple[Float[Tensor, "n m d"], Float[Tensor, "n m"]]:
    """The operator of each observation as a matrix, and y less the operator's constant part,
    flattened.

    Raises `InvalidInput` for an operator that is not linear, and for noise that is not Gaussian.
    """
    operator = observation.operator
    if not isinstance(operator, LinearOperator):
        raise InvalidInput(
            f"the exact h-transform needs a linear operator; got {type(operator).__name__}."
        )
    if not isinstance(observation.likelihood, GaussianLikelihood):
        raise InvalidInput(
            "the exact h-transform needs Gaussian noise; got "
            f"{type(observation.likelihood).__name__}."
        )
    n, d = len(observation), math.prod(event_shape)
    zero = torch.zeros(n, *event_shape, dtype=observation.y.dtype, device=observation.y.device)
    repeated = observation.repeat(d).operator
    assert isinstance(repeated, LinearOperator)
    basis = (
        torch.eye(d, dtype=zero.dtype, device=zero.device)
        .reshape(d, *event_shape)
        .repeat(n, *[1] * len(event_shape))
    )
    columns = repeated.observed(repeated.linear(basis)).flatten(1)
    return columns.reshape(n, d, columns.shape[1]).mT, observation.residual(zero).flatten(1)
