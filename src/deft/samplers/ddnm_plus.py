"""DDNM+: a noisy linear measurement fixes what it sees, and its noise counts as part of the sampler's.

In the singular basis A = U diag(s) V^T, component by component, with x_0_hat and eps_hat those of the prior:

    x_0'   = x_0_hat + lambda (U^T y / s - x_0_hat),      lambda = min(1, sigma_s s / (alpha_s sigma_y)),   0 where s = 0
    x_s    = alpha_s x_0' + rho (eta z + sqrt(1 - eta^2) eps_hat)
    rho^2  = sigma_s^2 - (alpha_s lambda sigma_y / s)^2

U^T y / s carries noise of standard deviation sigma_y / s into x_s; lambda keeps it below sigma_s, and rho makes the variance of all noise in x_s
sigma_s^2, which is what the prior is told. The estimate of the last step is the prior's own: there sigma_s = 0 and so lambda = 0.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.htransforms.base import NoConditioning
from deft.likelihoods import Observation
from deft.noise import Noise
from deft.operators.base import SpectralOperator
from deft.posterior import Posterior
from deft.priors.base import Prior
from deft.samplers.base import Sampler, State, TimeGrid, UniformTime
from deft.types import Times, expand


@final
class DDNMPlus(Sampler):
    """DDNM for sigma_y > 0; it conditions by itself and asks for `Posterior(prior, NoConditioning(), observation)`.

    Wang et al. 2023, arXiv:2212.00490, eq. 17-20 and the appendix on general operators. Departures: the step carries x_t over through eps_hat alone, the
    share 1 - eta^2 of the noise, and what the measurement brings is taken from both shares alike, so that any `eta` in [0, 1] is allowed (the paper writes
    its equations for ancestral noise). `eta` is the one free parameter. At sigma_y = 0 this is DDNM in the same step. Raises `InvalidInput` for an
    operator without a singular value decomposition, and for a prior that is no such `Posterior`.
    """

    def __init__(self, steps: int, eta: float = 0.85, grid: TimeGrid | None = None) -> None:
        if not 0 <= eta <= 1:
            raise InvalidInput(f"eta is the share of fresh noise, between 0 and 1; got {eta}.")
        self.steps, self.eta, self.grid = steps, eta, grid or UniformTime()

    def step(self, prior: Prior, state: State, s: Times, noise: Noise) -> State:
        observation, operator = _spectral(prior)
        denoised = prior.at(state.x_t, state.t)
        alpha_s, sigma_s = prior.levels(state.x_t, s)

        seen = operator.u_t(observation.residual(denoised.x_0_hat))
        inverse = _inverse(operator.singular_values(seen).expand_as(seen))
        measured = expand(observation.sigma_y, seen).to(seen) * inverse  # sigma_y / s: the noise in the components of A^+ y
        most = (expand(sigma_s.flatten(), seen) / (expand(alpha_s.flatten(), seen) * measured)).clamp(max=1)
        weight = torch.where(measured > 0, most, torch.ones_like(most))
        x_0 = denoised.x_0_hat + operator.v(weight * inverse * seen)

        fresh = noise.normal(state.step + 1, prior.event_shape)
        mixed = self.eta * fresh + (1 - self.eta**2) ** 0.5 * denoised.eps_hat
        spent = expand(alpha_s.flatten(), seen) * weight * measured / expand(sigma_s.flatten(), seen)
        kept = (1 - spent**2).clamp(min=0).sqrt()
        left = mixed + operator.v((kept - 1) * operator.v_t(mixed))
        return State(alpha_s * x_0 + sigma_s * left, s, state.step + 1)


def _inverse(singular_values: Tensor) -> Tensor:
    """1 / s, and 0 for singular values below 1e-6 of the signal's largest."""
    regular = singular_values > 1e-6 * expand(singular_values.flatten(1).amax(1), singular_values)
    return torch.where(
        regular, 1 / torch.where(regular, singular_values, torch.ones_like(singular_values)), torch.zeros_like(singular_values)
    )


def _spectral(prior: Prior) -> tuple[Observation, SpectralOperator]:
    if not isinstance(prior, Posterior) or not isinstance(prior.h_transform, NoConditioning):
        raise InvalidInput(
            f"DDNMPlus conditions by itself and samples from Posterior(prior, NoConditioning(), observation); got {prior.name}."
        )
    operator = prior.observation.operator
    if not isinstance(operator, SpectralOperator):
        raise InvalidInput(
            f"DDNMPlus needs the singular values of the operator; {type(operator).__name__} has none. Use DPS, LearnedHTransform or, at sigma_y = 0, DDNM."
        )
    return prior.observation, operator
