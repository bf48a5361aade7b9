"""Starting at a measurement: from a first estimate of x_0, noised to a level below the noise end.

    x_0' = z + S^2 A^T (S^2 A A^T + sigma_y^2 I)^{-1} (y + sigma_y n - A z),    z ~ N(0, S^2 I)
    x_s  = alpha_s x_0' + sigma_s eps,    s < 1

x_0' is a draw from the posterior of a white Gaussian prior of standard deviation S (a draw of the
prior, conditioned by the Wiener filter); without draws, z = n = 0, it is that posterior's mean. The
start is right where the prior is such a Gaussian, or where s is near 1. Elsewhere it is biased, and
no number of steps takes the bias away: what is fixed above s is what the Gaussian believes. A
mixture has modes that it does not know, and is told the wrong shares of them.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from deft import checks
from deft.errors import InvalidInput
from deft.htransforms.base import HTransform
from deft.likelihoods import Observation
from deft.noise import Noise
from deft.operators.base import LinearOperator
from deft.posterior import Posterior
from deft.priors.base import Prior
from deft.samplers.base import Sampler, conditioned
from deft.samplers.conditional import gaussian
from deft.steps import State
from deft.types import Signal, Times, expand

_STREAM = 23  # of the draws that only a start makes


@final
class Informed(Sampler):
    """Another sampler that starts at `log_snr`, from what a white Gaussian prior makes of y.

    The grid is that of `sampler`, with its first time moved from the noise end to that of
    `log_snr`; the second must lie below. `draws` says whether the estimate is drawn from the
    Gaussian's posterior, whose spread x_s then has, or its mean. Biased: see the head of this
    module, and measure before use. Raises `InvalidInput` for a prior without an observation, an
    operator that is not linear, noise that is not Gaussian, and a `log_snr` behind the grid's
    second time.
    """

    def __init__(self, sampler: Sampler, log_snr: float = -4.0, draws: bool = True) -> None:
        self.sampler, self.draws = sampler, bool(draws)
        self.log_snr = checks.finite("log_snr", log_snr, "where it starts")
        self.steps, self.grid, self.eta = sampler.steps, sampler.grid, sampler.eta

    @property
    def evaluations(self) -> int:
        return self.sampler.evaluations

    def times_of(self, prior: Prior) -> Tensor:
        times = self.sampler.times_of(prior)
        start = torch.tensor([self.log_snr], dtype=torch.float64)
        first = prior.schedule.snap(prior.schedule.time(start)).to(times)
        if len(times) > 1 and float(first) <= float(times[1]):
            second = float(prior.schedule.log_snr(times[1:2]))
            raise InvalidInput(
                "log_snr",
                given=self.log_snr,
                expected=f"a log-SNR below {second:.4g}, that of the grid's second evaluation",
                advice=f"give the sampler a grid with a higher second log-SNR, such as "
                f"UniformLogSNR(low={self.log_snr:g})",
            )
        return torch.cat([first, times[1:]])

    def check(
        self,
        prior: Prior,
        observation: Observation | None = None,
        h_transform: HTransform | None = None,
    ) -> None:
        self.sampler.check(prior, observation, h_transform)
        super().check(prior, observation, h_transform)
        _measured(conditioned(prior, observation, h_transform))

    def start(self, prior: Prior, noise: Noise) -> Signal:
        observation, operator = _measured(prior)
        t = self.times_of(prior)[:1]
        own = noise.stream(_STREAM)
        z = prior.scale * prior.noise(own, 0) * float(self.draws)
        y = observation.y
        if self.draws:
            n = own.stream(1).normal(0, y.shape[1:])
            y = y + expand(observation.sigma_y, y).to(y) * operator.observed(n)
        r2 = torch.full_like(observation.sigma_y, prior.scale**2)
        x_0 = z + prior.scale**2 * operator.pull(
            z, operator.residual(z, y), r2, observation.sigma_y**2
        )
        alpha_t, sigma_t = prior.levels(x_0, t)
        return alpha_t * x_0 + sigma_t * prior.noise(noise, 0)

    def step(self, prior: Prior, state: State, s: Times, noise: Noise) -> State:
        return self.sampler.step(prior, state, s, noise)

    def finish(self, prior: Prior, state: State, noise: Noise) -> Signal:
        return self.sampler.finish(prior, state, noise)


def _measured(prior: Prior) -> tuple[Observation, LinearOperator]:
    """The observation of a posterior, and its linear operator."""
    if not isinstance(prior, Posterior):
        raise InvalidInput(
            "Informed starts at a measurement",
            given=prior.name,
            expected="a Posterior of a linear Gaussian measurement",
            advice="use its `sampler` alone",
        )
    observation = prior.observation
    gaussian(prior, observation, "Informed")
    operator = observation.operator
    if not isinstance(operator, LinearOperator):
        raise InvalidInput(
            "Informed needs a linear operator",
            given=type(operator).__name__,
            expected="a LinearOperator",
            advice="use its `sampler` alone",
        )
    return observation, operator
