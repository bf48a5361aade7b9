"""An exponential integrator whose linear part is the guidance of a linear Gaussian measurement.

In the basis of A = U diag(s) V^T a white Gaussian prior N(0, S^2) has a posterior N(mu, tau^2) for
every component, and the probability-flow ODE of that one is linear:

    tau^2 = S^2 sigma_y^2 / (sigma_y^2 + S^2 s^2),    mu = S^2 s (U^T y) / (sigma_y^2 + S^2 s^2)
    x_0_hat = mu + (alpha tau^2 / p^2) (x_t - alpha mu) + rho,    p^2 = alpha^2 tau^2 + sigma^2

rho is what the estimate of any other prior has beside. With a = e^lambda = alpha / sigma, u = x_t /
sigma and q = sqrt(1 + a^2 tau^2) = p / sigma the ODE du / da = x_0_hat becomes

    d/da [(u - a mu) / q] = rho / q
    x_s / sigma_s = a_s mu + q_s [ (x_t / sigma_t - a_t mu) / q_t + int e^lambda rho / q dlambda ]

which is exact but for rho, a polynomial in lambda through the last evaluations; its weights are
integrals by Gauss and Legendre, one for each singular value. Where y sees nothing, tau is set to 0,
and the step is that of DPM-Solver++.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import final

import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.htransforms.base import HTransform
from deft.likelihoods import GaussianLikelihood, Observation
from deft.noise import Noise
from deft.operators.base import SpectralOperator
from deft.posterior import Posterior
from deft.priors.base import Prior
from deft.samplers.arguments import at_least_one, order_of
from deft.samplers.base import Sampler, conditioned
from deft.samplers.conditional import reciprocal
from deft.samplers.exponential import half_log_snr, moved, weights
from deft.samplers.grids import TimeGrid, UniformLogSNR
from deft.schedules import Schedule
from deft.steps import State
from deft.types import Times, expand

_NODES = 32


@final
class ConjugateIntegrator(Sampler):
    """The flow of the white Gaussian's posterior exactly, and what is left by a multistep rule of
    order 1, 2 or 3; one evaluation a step.

    After Pandey et al. 2024, arXiv:2405.17673, who take the linear part of the guidance into the
    integrator; here it is that of the whole posterior under a white Gaussian, with noise in y. One
    step is exact for a white Gaussian prior of mean 0 where A has full column rank. It runs on a
    `Posterior` alone, whatever its h-transform, and draws no fresh noise. The last step is the
    denoiser's own; the default grid is uniform in log-SNR. Raises `InvalidInput` for a prior
    without an observation, an operator without singular values, and noise that is not Gaussian.
    """

    def __init__(self, steps: int, grid: TimeGrid | None = None, order: int = 2) -> None:
        self.steps, self.grid = at_least_one(steps), grid or UniformLogSNR()
        self.order = order_of(order)

    def check(
        self,
        prior: Prior,
        observation: Observation | None = None,
        h_transform: HTransform | None = None,
    ) -> None:
        super().check(prior, observation, h_transform)
        _measured(conditioned(prior, observation, h_transform))

    def step(self, prior: Prior, state: State, s: Times, noise: Noise) -> State:
        schedule, t, x_t = prior.schedule, state.t, state.x_t
        observation, operator = _measured(prior)
        tau2, mu = _gaussian(operator, prior, observation)
        x_0_hat = prior.denoise(x_t, t)

        alpha_t, sigma_t = schedule.alpha(t).to(tau2), schedule.sigma(t).to(tau2)
        c_t = operator.v_t(x_t).to(tau2)
        linear = mu + alpha_t * tau2 / (alpha_t**2 * tau2 + sigma_t**2) * (c_t - alpha_t * mu)
        rho = (operator.v_t(x_0_hat) - linear).to(x_t)

        known = (x_0_hat, rho, t, *state.memory)
        known = known[: 3 * min(self.order, len(known) // 3, self.steps - state.step)]
        now, to = half_log_snr(schedule, t), half_log_snr(schedule, s)
        places = [half_log_snr(schedule, r) - now for r in known[2::3]]

        x_s = moved(schedule, x_t, t, s, weights(to - now, places), known[::3])
        keep, gain, each = _factors(schedule, t, s, tau2, places)
        c_s = keep * c_t + gain * mu
        c_s = c_s + sum(w * r for w, r in zip(each, known[1::3]))
        x_s = x_s + operator.v(c_s.to(x_s) - operator.v_t(x_s))
        return State(x_s, s, state.step + 1, known[: 3 * (self.order - 1)])


def _measured(prior: Prior) -> tuple[Observation, SpectralOperator]:
    """The observation of a posterior and its operator, which the integrator knows what to do
    with.
    """
    what, advice = "ConjugateIntegrator integrates linear guidance", "use DPMSolver or UniPC"
    expected = "a Posterior of a SpectralOperator with Gaussian noise"
    if not isinstance(prior, Posterior):
        raise InvalidInput(what, given=prior.name, expected=expected, advice=advice)
    observation, operator = prior.observation, prior.observation.operator
    if not isinstance(operator, SpectralOperator):
        name = type(operator).__name__
        raise InvalidInput(what, given=name, expected=expected, advice=advice)
    if not isinstance(observation.likelihood, GaussianLikelihood):
        name = type(observation.likelihood).__name__
        raise InvalidInput(what, given=name, expected=expected, advice=advice)
    return observation, operator


def _gaussian(
    operator: SpectralOperator, prior: Prior, observation: Observation
) -> tuple[Tensor, Tensor]:
    """(tau^2, mu) for each component, in double precision; zero where y sees nothing."""
    c_y = operator.u_t(observation.y)
    s = operator.singular_values(c_y).double()
    seen = reciprocal(s) > 0
    s2, sigma_y2 = prior.scale**2, expand(observation.sigma_y, s).double() ** 2
    total = torch.where(seen, sigma_y2 + s2 * s**2, torch.ones_like(s))
    tau2 = torch.where(seen, s2 * sigma_y2 / total, torch.zeros_like(total))
    return tau2, torch.where(seen, s2 * s / total, torch.zeros_like(total)) * c_y.double()


def _factors(
    schedule: Schedule, t: Times, s: Times, tau2: Tensor, places: Sequence[Tensor]
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """The factors of x_t, of mu, and of every rho."""
    now, to = half_log_snr(schedule, t), half_log_snr(schedule, s)
    h, sigma_s = (to - now).to(tau2), schedule.sigma(s).to(tau2)
    a_t, a_s = now.exp().to(tau2), to.exp().to(tau2)
    q_t, q_s = (1 + a_t**2 * tau2).sqrt(), (1 + a_s**2 * tau2).sqrt()
    keep = sigma_s / schedule.sigma(t).to(tau2) * q_s / q_t
    gain = sigma_s * (a_s - a_t * q_s / q_t)
    each = [torch.zeros_like(tau2) for _ in places]
    for u, weight in _legendre(_NODES):
        a = (now + u * (to - now)).exp().to(tau2)
        share = sigma_s * q_s * (weight * h * a / (1 + a**2 * tau2).sqrt())
        for i, place in enumerate(places):
            others = [r for r in places if r is not place]
            basis = torch.ones_like(h)
            for r in others:
                basis = basis * ((u * h - r) / (place - r)).to(h)
            each[i] = each[i] + basis * share
    return keep, gain, each


@cache
def _legendre(count: int) -> tuple[tuple[float, float], ...]:
    """Places in (0, 1) and weights of Gauss and Legendre: the eigenvalues of the recurrence's
    matrix, and the squares of the first entries of its eigenvectors (Golub & Welsch 1969).
    """
    k = torch.arange(1, count, dtype=torch.float64)
    beside = k / (4 * k**2 - 1).sqrt()
    values, vectors = torch.linalg.eigh(torch.diag(beside, 1) + torch.diag(beside, -1))
    return tuple(zip(((1 + values) / 2).tolist(), vectors[0].square().tolist()))
