"""The h-transform in closed form, for a Gaussian chain and residues measured in a fixed frame.

    shift = E[x_0 | x_t, y] - E[x_0 | x_t],    y = B x_0 + sigma_y eps, B alike for x, y and z

p(x_0 | y) is a Gaussian law of chains again (deft.priors.chain_law), whose denoiser is the first
term. It is decomposed once for each observation and kept with it.
"""

from __future__ import annotations

import math
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from deft.errors import InvalidInput
from deft.htransforms.applies import linear_gaussian, made_for
from deft.htransforms.base import HTransform
from deft.likelihoods import Observation
from deft.noise import Noise
from deft.operators.base import LinearOperator
from deft.priors.base import Prior
from deft.priors.chain_law import ChainLaw
from deft.priors.denoised import Denoised
from deft.priors.gaussian_chain import GaussianChain
from deft.types import LogProb, Signal


@final
class ExactChain(HTransform):
    """The h-transform of a `GaussianChain`: what every method for backbones approximates.

    The chain is told its lengths (`of_length`), one for all observations or one for each. The
    measurement is linear, with Gaussian noise, and takes the three coordinates alike (`Motif` with
    frame="fixed"). Raises `InvalidInput` for another.
    """

    event_axes = "cloud"

    def __init__(self, chain: GaussianChain) -> None:
        super().__init__()
        self.chain = chain
        lengths = " ".join(map(str, chain.lengths.tolist()))
        self._name = f"posterior of {chain.identity()['hash']} with {lengths} residues"

    def check(self, prior: Prior, observation: Observation) -> None:
        """Decomposes the posterior, once for all steps."""
        made_for(self, self.chain.event_shape, prior)
        if self.chain.num_observations not in (1, len(observation)):
            raise InvalidInput(
                "ExactChain",
                given=f"lengths of {self.chain.num_observations} chains",
                expected=f"one for all observations, or {len(observation)}",
                advice="make it of the prior that samples: ExactChain(prior)",
            )
        self.posterior(observation)

    def shift(self, denoised: Denoised, observation: Observation) -> Signal:
        law = self.posterior(observation)
        exact = law.denoise(denoised.x_t, denoised.alpha_t, denoised.sigma_t)
        return exact - denoised.x_0_hat

    def posterior(self, observation: Observation) -> ChainLaw:
        """p(x_0 | y), one law for each observation, found in double precision and kept in that of
        y.
        """
        packed = observation.kept(
            self._name, lambda: self._condition(observation)[0].packed().to(observation.y)
        )
        return ChainLaw.of(packed)

    def evidence(self, observation: Observation) -> LogProb:
        """log p(y), in double precision; needs sigma_y > 0."""
        if not bool((observation.sigma_y > 0).all()):
            raise InvalidInput(
                "a measurement without noise (sigma_y = 0) has no density; give a sigma_y > 0."
            )
        _, log_y = self._condition(observation)
        missing = observation.y[0].numel() - observation.operator.count(observation.y).double()
        s2 = observation.sigma_y.double() ** 2
        return log_y + 0.5 * missing * (2 * math.pi * s2).log()

    def _condition(self, observation: Observation) -> tuple[ChainLaw, LogProb]:
        operator = linear_gaussian(observation, self)
        rows, y = coordinates(observation, operator, self.chain.event_shape[0])
        return self.chain.law().given(rows, y, observation.sigma_y)


def coordinates(
    observation: Observation, operator: LinearOperator, places: int
) -> tuple[Float[Tensor, "#n m places"], Float[Tensor, "n m 3"]]:
    """B, one for each observation or one for all, and y less what is constant in it. Raises
    `InvalidInput` for an operator that does not take x, y and z alike.
    """
    n = operator.signals
    first = torch.zeros(places, places, 3).to(observation.y)
    first[:, :, 0].fill_diagonal_(1.0)
    each = operator.repeat(places)
    seen = each.observed(each.linear(first.repeat(n, 1, 1))).flatten(1)
    zero = torch.zeros(len(observation), places, 3).to(observation.y)
    y = observation.residual(zero).flatten(1)
    if y.shape[1] % 3 == 0:
        b = seen.reshape(n, places, -1, 3)[..., 0].mT
        probe = Noise(range(n), b.device, b.dtype).normal(0, (places, 3))
        found = operator.observed(operator.linear(probe)).reshape(n, -1, 3)
        if torch.allclose(b @ probe, found, atol=1e-4):
            return b, y.unflatten(1, (-1, 3))
    raise InvalidInput(
        "ExactChain",
        given=f"{type(operator).__name__}, which does not take x, y and z alike",
        expected="an operator that measures all three coordinates of residues",
        advice='use Motif(..., frame="fixed"), or Exact with a GaussianMixture',
    )
