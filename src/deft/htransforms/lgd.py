"""Loss-guided diffusion: the likelihood, averaged over a cloud of points around the estimate.

p(x_0 | x_t) ~ N(x_0_hat, r_t^2 I),    h(x_t) ~ (1 / n) sum_i p(y | x_0_hat + r_t z_i),
z_i ~ N(0, I)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from deft import checks
from deft.errors import InvalidInput
from deft.htransforms.base import Potential
from deft.htransforms.derivative import instead, need_derivative
from deft.htransforms.weights import GradientStep, Weight, checked_weight, weight_at
from deft.likelihoods import Observation
from deft.noise import Noise, as_seed, mix
from deft.priors.base import Prior
from deft.priors.denoised import Denoised
from deft.types import LogProb, Times, norm

_TIMES = 10**6  # a set of points for each millionth of [0, 1]


@final
class LGD(Potential):
    """Loss-guided diffusion with Monte Carlo (LGD-MC).

        log h(x_t) = log (1 / n) sum_i p(y | x_0_hat + r_t z_i),
        r_t^2 = s^2 sigma_t^2 / (alpha_t^2 s^2 + sigma_t^2)

    Song et al. 2023 (ICML), Loss-guided diffusion models for plug-and-play controllable generation,
    with the loss -log p(y | x_0); any operator that torch can differentiate. `points` is n and
    `scale` is s, 1 in the paper. The paper draws the points afresh in every step. Here an
    h-transform draws nothing: they are a function of (`seed`, t), the same for all signals, so that
    a sample depends on its own seed alone, and other ones at other times, so that the errors of
    different steps do not add up. Needs sigma_y > 0, since without noise p(y | x_0) is no density:
    `InvalidInput`. A guidance scale is `Scaled(LGD(), w)`.

    Where r_t is much more than sigma_y in many dimensions one point outweighs the others, guidance
    is of the size of r_t^2 / sigma_y^2, and sampling diverges; with a `weight`, a number or a
    function of t in units of the score, the distance takes the place of the likelihood, as in DPS,
    and sigma_y is not read:

        log h(x_t) = -weight(t) sqrt((1 / n) sum_i ||y - A(x_0_hat + r_t z_i)||^2)
    """

    def __init__(
        self, points: int = 10, scale: float = 1.0, seed: int = 0, weight: Weight | None = None
    ) -> None:
        super().__init__()
        self.num_points = checks.whole("points", points, meaning="drawn around the estimate")
        self.scale = checks.positive(
            "scale",
            scale,
            "the standard deviation of x_0 that r_t supposes",
            "prior.scale, or 1 as in the paper",
        )
        self.seed, self.weight = (
            as_seed(seed),
            None if weight is None else checked_weight("the weight of LGD", weight),
        )

    @classmethod
    def published(cls, zeta: float, *, points: int = 10, scale: float = 1.0, seed: int = 0) -> LGD:
        """The h-transform with which DDIM takes the step of InverseBench; it is bound to the steps
        when sampling starts.

            x_s = a x_0_hat + b x_t + c z - zeta grad_{x_t} sqrt((1 / n) sum_i ||y - A(x_0_hat
                + r_t z_i)||^2)

        Zheng et al. 2025, arXiv:2503.11043, from whom the public implementation is: the step of
        DPS, on the cloud.
        """
        return cls(points, scale, seed, GradientStep(zeta))

    def points(self, t: Times, event_shape: Sequence[int], like: Tensor) -> Tensor:
        """z_i: (times, points, *event), in the precision and on the device of `like`."""
        noise = Noise(
            [mix(self.seed, 31, i) for i in range(self.num_points)], like.device, like.dtype
        )
        steps = (t.double() * _TIMES).round().long().tolist()
        known = {step: noise.normal(step, event_shape) for step in set(steps)}
        return (
            torch.stack([known[step] for step in steps])
            if steps
            else like.new_empty((0, self.num_points, *event_shape))
        )

    def log_h(self, denoised: Denoised, observation: Observation) -> LogProb:
        x_0_hat = denoised.x_0_hat
        r_t = denoised.spread(self.scale)
        cloud = x_0_hat[:, None] + r_t[:, None] * self.points(
            denoised.t, x_0_hat.shape[1:], x_0_hat
        )
        each = observation.repeat(self.num_points)
        grid = (len(x_0_hat), self.num_points)
        if self.weight is not None:
            distances = each.residual(cloud.flatten(0, 1)).flatten(1).unflatten(0, grid)
            return (
                -weight_at(self.weight, denoised).flatten()
                * norm(distances)
                / math.sqrt(self.num_points)
            )
        log_prob = each.likelihood.log_prob(cloud.flatten(0, 1), each.y)
        result: LogProb = log_prob.unflatten(0, grid).logsumexp(1) - math.log(self.num_points)
        return result

    def check(self, prior: Prior, observation: Observation) -> None:
        if self.weight is None and bool((observation.sigma_y == 0).any()):
            raise InvalidInput(
                "LGD averages the density p(y | x_0), and a measurement with sigma_y = 0 has none",
                given="sigma_y = 0",
                expected="the noise that there is, sigma_y > 0",
                advice=f"{instead(prior, observation, 'LGD')}; LGD.published takes sigma_y = 0",
            )
        need_derivative(prior, observation, "LGD")
