"""Where a frozen prior is asked, if not at x_t: at the pivot, where x_t and a linear measurement
are one noisy look at x_0.

    x_t = alpha x_0 + sigma eps,    y = A x_0 + sigma_y n,    v = sigma / alpha
    p(x_0 | x_t, y)  ~  p(x_0) N(m; x_0, L^-1),    L = I / v^2 + A^T A / sigma_y^2
    alpha m = x_t + A^T (A A^T + (sigma_y / v)^2 I)^{-1} (alpha y - A x_t)

The second line is exact for every prior. A denoiser knows isotropic noise, so that it is asked at m
as if the noise there had one level v':

    "pivot"      v' = v, the level of x_t: more than there is where y sees
    "matched"
        v'^2 = trace(L^-1) / d = v^2 (1 - trace(A^T (A A^T + (sigma_y / v)^2 I)^{-1} A) / d):
            right on average

v' is kept to what the schedule reaches, and to the times that the network knows. The trace is that
of one fixed draw of signs z, z^T F z / z^T z, which is exact where F is diagonal or a multiple of
the identity. At sigma_y = 0 the inverses are pseudo-inverses: m is x_t / alpha with the part that A
sees replaced by A^+ y.

What is left to add to the prior's answer x_0_hat follows for a white Gaussian prior of standard
deviation s, whatever its mean. Its posterior has the precision I / s^2 + L and

    shift = (I / s^2 + L)^{-1} (L - I / v'^2) (m - x_0_hat) = G + delta r^2 (G - w)
    w = m - x_0_hat,    G = r^2 A^T (r^2 A A^T + sigma_y^2 I)^{-1} A w,
    1 / r^2 = 1 / s^2 + 1 / v^2,    delta = 1 / v'^2 - 1 / v^2

At v' = v this is the guidance of an h-transform at x_t with A m in place of y, which counts y once.
For A = I it is zero at the matched level: denoising is exact for every prior, up to the spacing of
the times that its network knows. A step costs one more solve than at x_t, and another one where the
level is matched.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from deft.likelihoods import Observation
from deft.noise import Noise
from deft.operators.base import LinearOperator
from deft.priors.base import Prior
from deft.priors.denoised import Asked
from deft.types import Signal, Times, expand, inner

Where = Literal["x_t", "pivot", "matched"]


def pivot(
    prior: Prior,
    x_t: Signal,
    t: Times,
    observation: Observation,
    operator: LinearOperator,
    matched: bool,
) -> tuple[Signal, Times]:
    """(alpha' m, t'), where the prior is asked: at the level of x_t, or at the matched one."""
    with torch.autocast(x_t.device.type, enabled=False):
        alpha_t, sigma_t = prior.levels(x_t, t)
        v = (sigma_t / alpha_t).flatten()
        one, s2 = torch.ones_like(v), (observation.sigma_y / v) ** 2
        centred = operator.residual(
            torch.zeros_like(x_t), observation.y
        )  # y - A(0), for an affine A
        left = operator.observed(
            expand(alpha_t.flatten(), centred) * centred - operator.linear(x_t)
        )
        m = x_t + operator.pull(x_t, left, one, s2)
        if not matched:
            return m, t
        left_over = (
            v
            * (1 - _share(prior, x_t, operator, one, s2))
            .clamp(min=torch.finfo(v.dtype).tiny)
            .sqrt()
        )
        there = prior.schedule.snap(prior.schedule.time(-2 * left_over.log())).to(t)
        return prior.levels(x_t, there)[0] / alpha_t * m, there


def guidance(asked: Asked, observation: Observation, scale: Tensor) -> Signal:
    """The shift of a white Gaussian prior of standard deviation `scale`, in units of r_t."""
    alpha_t, sigma_t = asked.there.alpha_t, asked.there.sigma_t
    r_t = asked.spread(scale)
    m = asked.there.x_t / alpha_t
    g = observation.likelihood.guidance(asked.x_0_hat, r_t.flatten(), observation.operator(m))
    delta = (alpha_t / sigma_t) ** 2 - (asked.alpha_t / asked.sigma_t) ** 2
    return g + delta * r_t * (r_t * g - (m - asked.x_0_hat))


def _share(prior: Prior, like: Signal, operator: LinearOperator, r2: Tensor, s2: Tensor) -> Tensor:
    """trace(A^T (r2 A A^T + s2 I)^{-1} A) / d, how much of the signal the measurement says at this
    level: one per signal.
    """
    z = prior.noise(Noise([0], like.device, like.dtype), 0).sign().expand_as(like)
    return inner(z, operator.pull(z, operator.linear(z), r2, s2)) / inner(z, z)
