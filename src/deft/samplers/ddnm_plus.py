"""DDNM+: a noisy linear measurement fixes what it sees, and its noise counts as part of the
sampler's.

In the singular basis A = U diag(s) V^T, component by component, with x_0_hat and eps_hat those of
the prior, and q = sigma_s s / (alpha_s sigma_y) the noise that the prior expects at time s over
that which the measurement brings:

    x_0' = x_0_hat + lambda (U^T y / s - x_0_hat),    x_s = alpha_s x_0' + sigma_s (f z + g eps_hat)

    not seen (s = 0)      lambda = 0                      f = eta
            g = sqrt(1 - eta^2)
    seen, q >= 1          lambda = 1                      f = sqrt(1 - 1 / q^2)   g = 0
    seen, q < 1           lambda = sqrt(1 - eta^2) q      f = eta                 g = 0

In each case all noise in x_s, the measurement's (alpha_s lambda sigma_y / s) included, has the
standard deviation sigma_s, which is what the prior is told. The estimate of the last step is the
prior's own: there sigma_s = 0, hence q = 0 and lambda = 0.
"""

from __future__ import annotations

from typing import final

import torch

from deft import checks
from deft.likelihoods import Observation
from deft.noise import Noise
from deft.operators.base import SpectralOperator
from deft.priors.base import Prior
from deft.samplers.arguments import at_least_one
from deft.samplers.conditional import agrees, reciprocal, spectral_operator
from deft.samplers.grids import TimeGrid, UniformTime
from deft.samplers.posterior import PosteriorSampler
from deft.steps import State
from deft.types import Times, expand


@final
class DDNMPlus(PosteriorSampler):
    """DDNM for sigma_y > 0; it conditions by itself: `DDNMPlus(...)(prior, observation,
    num_samples)`.

    Wang et al. 2023, arXiv:2212.00490, eq. 17-20, which scale the correction and the fresh noise by
    component so that the variance comes out right. The paper writes them for ancestral noise; here
    the noise is split by `eta`, the one free parameter, as in DDRM (Kawar et al. 2022,
    arXiv:2201.11793, with eta_b = 1): near 1 the samples trust a noisy measurement less. At sigma_y
    = 0 use `DDNM`, whose last estimate meets the measurement. `operator` is the observation's,
    decomposed beforehand (`Matrix.of`), where that has no decomposition of its own. Raises
    `InvalidInput` for an operator without a singular value decomposition.
    """

    def __init__(
        self,
        steps: int,
        eta: float = 0.85,
        grid: TimeGrid | None = None,
        operator: SpectralOperator | None = None,
    ) -> None:
        eta = checks.share("eta", eta, "the share of fresh noise")
        self.steps, self.eta, self.grid, self.operator = (
            at_least_one(steps),
            eta,
            grid or UniformTime(),
            operator,
        )

    def applies(self, prior: Prior, observation: Observation) -> None:
        agrees(spectral_operator(prior, observation, "DDNMPlus", self.operator), observation)

    def step(
        self, prior: Prior, observation: Observation, state: State, s: Times, noise: Noise
    ) -> State:
        operator = spectral_operator(prior, observation, "DDNMPlus", self.operator)
        denoised = prior.at(state.x_t, state.t)
        alpha_s, sigma_s = prior.levels(state.x_t, s)

        residual = operator.u_t(observation.residual(denoised.x_0_hat))
        inverse = reciprocal(operator.singular_values(residual).expand_as(residual))
        ratio = expand(alpha_s.flatten() / sigma_s.flatten(), residual)
        brought = ratio * expand(observation.sigma_y, residual).to(residual) * inverse  # 1 / q
        seen, trusted = inverse > 0, brought <= 1

        carry = (1 - self.eta**2) ** 0.5
        weight = torch.where(trusted, torch.ones_like(brought), carry / brought)
        x_0 = denoised.x_0_hat + operator.v(weight * inverse * residual)

        fresh = prior.noise(noise, state.step + 1)
        unseen = self.eta * fresh + carry * denoised.eps_hat
        f = torch.where(
            trusted, (1 - brought**2).clamp(min=0).sqrt(), torch.full_like(brought, self.eta)
        )
        in_range = torch.where(
            seen, f * operator.v_t(fresh) - operator.v_t(unseen), torch.zeros_like(brought)
        )
        return State(alpha_s * x_0 + sigma_s * (unseen + operator.v(in_range)), s, state.step + 1)
