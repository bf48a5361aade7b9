"""The setting of Monte Carlo guided diffusion (Cardoso et al. 2023, arXiv:2308.07983), for which
everything is known.

25 components at (8 i, 8 j, 8 i, 8 j, ...), i, j in -2 ... 2, of unit covariance, with random
weights that are fixed per dimension; A with random singular vectors and singular values uniform in
[0, 1], sigma_y uniform up to the largest of them, y drawn from the model. The mixture is centred
and scaled to unit variance, and the schedule's last alpha is so small that alpha_1 max |mu| <= 0.1:
otherwise the sampler starts from a law that is not the prior's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from deft.likelihoods import GaussianLikelihood, Observation
from deft.metrics.distribution import sliced_wasserstein
from deft.noise import Noise
from deft.operators.base import ForwardOperator
from deft.operators.matrix import Matrix
from deft.priors.gaussian_mixture import GaussianMixture
from deft.problems import Problem, card_of
from deft.schedules import Schedule, VPCosine
from deft.types import Signal

DOUBLE = torch.float64
# the last log-SNR that is asked for: what is left there is 0.03 of a component's standard deviation
HIGH = 12.0


@final
class RandomMatrices(Problem):
    """Matrices with random singular vectors and singular values uniform in [0, 1]; sigma_y
    uniform between 0 and `unit` times the largest of them.
    """

    def __init__(self, d_y: int, unit: float) -> None:
        super().__init__()
        self.d_y, self.unit = d_y, unit

    def operator(self, x_0: Signal, noise: Noise) -> ForwardOperator:
        left = torch.linalg.qr(noise.normal(0, (self.d_y, self.d_y)))[0]
        right = torch.linalg.qr(noise.normal(1, (x_0.shape[1], self.d_y)))[0]
        return Matrix(left @ (noise.uniform(2, (self.d_y,))[..., None] * right.mT))

    def draw(self, x_0: Signal, noise: Noise) -> Observation:
        operator = self.operator(x_0, noise)
        largest = operator.singular_values(x_0).amax(1)  # type: ignore[operator]
        likelihood = GaussianLikelihood(operator, self.unit * noise.uniform(3) * largest)
        return Observation(likelihood.sample(x_0, noise.stream(5)), likelihood)

    def card(self) -> dict[str, object]:
        return card_of(self, {"d_y": self.d_y, "unit": self.unit})


@final
@dataclass(frozen=True)
class Cell:
    """A dimension, a number of measurements and a seed: a mixture and its problems."""

    d: int
    d_y: int
    seed: int = 0

    def prior(self, schedule: Schedule | None = None) -> GaussianMixture:
        """The standardised mixture, under a schedule that ends at alpha_1 max |mu| = 0.1 if none
        is given.
        """
        grid = torch.tensor(
            [(8.0 * i, 8.0 * j) for i in range(-2, 3) for j in range(-2, 3)], dtype=DOUBLE
        )
        means = grid.repeat(1, (self.d + 1) // 2)[:, : self.d]
        weights = torch.rand(25, generator=torch.Generator().manual_seed(self.d), dtype=DOUBLE)
        weights = weights / weights.sum()
        centre = (weights[:, None] * means).sum(0)
        scale = float((1 + (weights[:, None] * (means - centre) ** 2).sum(0).mean()).sqrt())
        means = (means - centre) / scale
        if schedule is None:
            alpha_1 = 0.1 / float(means.norm(dim=1).max())
            schedule = VPCosine(math.log(alpha_1**2 / (1 - alpha_1**2)), 15.0)
        return GaussianMixture(means, torch.full((25,), scale**-2, dtype=DOUBLE), weights, schedule)

    def problem(self, prior: GaussianMixture) -> RandomMatrices:
        """What the observations are drawn from."""
        return RandomMatrices(self.d_y, component_width(prior))

    def observation(self, prior: GaussianMixture, problem: int) -> Observation:
        """One measurement of one draw."""
        noise = Noise([1000 * self.seed + problem], dtype=DOUBLE).stream(self.d).stream(self.d_y)
        return self.problem(prior).draw(prior.sample(noise.stream(4)), noise)

    @property
    def name(self) -> str:
        return f"d{self.d}-dy{self.d_y}-seed{self.seed}"


def component_width(prior: GaussianMixture) -> float:
    """The standard deviation of a component, the unit of all distances."""
    return float(prior.variances[0, 0, 0].sqrt())


def distance(samples: Tensor, exact: Tensor, prior: GaussianMixture) -> float:
    """Sliced Wasserstein, in units of a component's standard deviation."""
    return sliced_wasserstein(samples, exact) / component_width(prior)
