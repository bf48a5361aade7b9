"""DDRM: diffusion in the singular basis of the operator, each component from its measurement as
soon as that is less noisy than the sample.

With A = U diag(s) V^T, y' = U^T y / s, v_t = sigma_t / alpha_t, sigma_y / s the noise of a
component's measurement, and x', x_0_hat' and eps' the components of x_t / alpha_t, x_0_hat and
eps_hat:

    not seen (s = 0)       x_s' = x_0_hat' + sqrt(1 - eta^2) v_s eps'
            + eta v_s z
    seen, v_s < sigma_y/s  x_s' = x_0_hat' + sqrt(1 - eta^2) v_s (y' - x_0_hat') / (sigma_y / s)
            + eta v_s z
    seen, v_s >= sigma_y/s x_s' = (1 - eta_b) x_0_hat' + eta_b y'
            + sqrt(v_s^2 - eta_b^2 sigma_y^2 / s^2) z

The first time takes x' = y' with the noise that is missing, or noise alone; the last step is at v_s
= 0. What it samples: the steps inject noise in proportion to v_s, however many there are. Without
measurement noise, steps that lower the noise slowly sample p(x_0 | y)^k, k = 2 / (1 + sqrt(1 -
eta^2)): the posterior, sharpened (k = 1.31 at eta = 0.85). With noise they end, in what is seen, at
y' itself and not between y' and the prior; the paper takes 20 steps.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

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
from deft.types import Signal, Times, expand


@final
class DDRM(PosteriorSampler):
    """DDRM; it conditions by itself: `DDRM(...)(prior, observation, num_samples)`.

    Kawar et al. 2022, arXiv:2201.11793, for any schedule. `eta` is the share of fresh noise,
    `eta_b` that of the measurement where it is the less noisy one. Without measurement noise and
    with eta_b = 1 a sample meets the measurement. `operator` is the observation's, decomposed
    beforehand (`Matrix.of`), where that has no decomposition of its own. Raises `InvalidInput` for
    an operator without a singular value decomposition.
    """

    def __init__(
        self,
        steps: int = 20,
        eta: float = 0.85,
        eta_b: float = 1.0,
        grid: TimeGrid | None = None,
        operator: SpectralOperator | None = None,
    ) -> None:
        eta, eta_b = (
            checks.share("eta", eta, "the share of fresh noise"),
            checks.share("eta_b", eta_b, "the share of the measurement"),
        )
        self.steps, self.eta, self.eta_b, self.grid, self.operator = (
            at_least_one(steps),
            eta,
            eta_b,
            grid or UniformTime(),
            operator,
        )

    def applies(self, prior: Prior, observation: Observation) -> None:
        agrees(self._spectral(prior, observation), observation)

    def start(self, prior: Prior, observation: Observation, noise: Noise) -> Signal:
        operator = self._spectral(prior, observation)
        z = prior.noise(noise, 0)
        one = self.grid.times(prior.schedule, self.steps)[:1].to(z.device)
        alpha_1, sigma_1 = prior.levels(z, one)
        measured = operator.u_t(observation.residual(torch.zeros_like(z)))
        seen, brought = _noise_of(observation, operator, measured)
        v_1 = expand((sigma_1 / alpha_1).flatten(), measured)
        known = reciprocal(operator.singular_values(measured)) * measured + (
            v_1**2 - brought**2
        ).clamp(min=0).sqrt() * operator.v_t(z)
        less_noisy = seen & (brought <= v_1)
        correction = torch.where(less_noisy, known - v_1 * operator.v_t(z), torch.zeros_like(known))
        return sigma_1 * z + alpha_1 * operator.v(correction)

    def step(
        self, prior: Prior, observation: Observation, state: State, s: Times, noise: Noise
    ) -> State:
        operator = self._spectral(prior, observation)
        denoised = prior.at(state.x_t, state.t)
        alpha_s, sigma_s = prior.levels(state.x_t, s)
        fresh = prior.noise(noise, state.step + 1)
        keep = (1 - self.eta**2) ** 0.5

        residual = operator.u_t(observation.residual(denoised.x_0_hat))
        gap = reciprocal(operator.singular_values(residual)) * residual  # y' - x_0_hat'
        seen, brought = _noise_of(observation, operator, residual)
        v_s, z = expand((sigma_s / alpha_s).flatten(), residual), operator.v_t(fresh)
        less_noisy = brought <= v_s
        worse = (
            keep * v_s * gap / torch.where(less_noisy, torch.ones_like(brought), brought)
            + self.eta * v_s * z
        )
        better = self.eta_b * gap + (v_s**2 - (self.eta_b * brought) ** 2).clamp(min=0).sqrt() * z

        unseen = keep * denoised.eps_hat + self.eta * fresh
        in_range = torch.where(less_noisy, better, worse) - v_s * operator.v_t(unseen)
        correction = operator.v(torch.where(seen, in_range, torch.zeros_like(in_range)))
        return State(
            alpha_s * (denoised.x_0_hat + correction) + sigma_s * unseen, s, state.step + 1
        )

    def finish(self, prior: Prior, observation: Observation, state: State, noise: Noise) -> Signal:
        operator = self._spectral(prior, observation)
        x_0_hat = prior.denoise(state.x_t, state.t)
        residual = operator.u_t(observation.residual(x_0_hat))
        exact = expand(observation.sigma_y == 0, residual)
        gap = reciprocal(operator.singular_values(residual)) * residual
        return x_0_hat + operator.v(torch.where(exact, self.eta_b * gap, torch.zeros_like(gap)))

    def _spectral(self, prior: Prior, observation: Observation) -> SpectralOperator:
        return spectral_operator(prior, observation, "DDRM", self.operator)


def _noise_of(
    observation: Observation, operator: SpectralOperator, like: Tensor
) -> tuple[Tensor, Tensor]:
    """Which components are seen, and the noise sigma_y / s of their measurement (0 where they are
    not).
    """
    inverted = reciprocal(operator.singular_values(like)).expand_as(like)
    return inverted > 0, expand(observation.sigma_y, like).to(like) * inverted
