"""DiffPIR: denoise, pull the estimate to the measurement, put noise back; half-quadratic splitting
along a diffusion.

    x_0'  = argmin_x ||y - A x||^2 + rho_t ||x - x_0_hat||^2,
    rho_t = lambda sigma_y^2 alpha_t^2 / sigma_t^2
    eps'  = (x_t - alpha_t x_0') / sigma_t
    x_s   = alpha_s x_0' + sigma_s (sqrt(1 - zeta) eps' + sqrt(zeta) z)

x_0' is the posterior mean where x_0 given x_t is white with the variance (sigma_t / alpha_t)^2 /
lambda. What it samples: near the clean end x_0' - x_t / alpha_t is (sigma_t / alpha_t)^2 grad [log
p + log p(y | .) / lambda], so that steps that lower the noise slowly are Langevin steps, and their
law is

    ( p(x_0) p(y | x_0)^(1 / lambda) )^k,    k = 2 / (1 + sqrt(1 - zeta)).

For lambda = 1 that is the posterior, sharpened: k = 1.03 for zeta = 0.1, and 2 for zeta = 1 (half
of the variance).
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from deft import checks
from deft.errors import InvalidInput
from deft.htransforms.derivative import instead
from deft.likelihoods import Observation
from deft.noise import Noise
from deft.operators.base import LinearOperator
from deft.priors.base import Prior
from deft.priors.denoised import Denoised
from deft.samplers.arguments import at_least_one
from deft.samplers.conditional import differentiable
from deft.samplers.grids import TimeGrid
from deft.samplers.posterior import PosteriorSampler
from deft.schedules import Schedule
from deft.steps import State
from deft.types import Signal, Times


@final
class RootTime(TimeGrid):
    """t_k = 1 - sqrt((k - 1) / (N - 1)): one long step from the noise, then dense at the clean end,
    with the last evaluation at t = 0; DiffPIR's own.
    """

    def positions(self, schedule: Schedule, steps: int) -> Tensor:
        return 1 - torch.linspace(0, 1, steps, dtype=torch.float64).sqrt()


@final
class DiffPIR(PosteriorSampler):
    """DiffPIR; it conditions by itself: `DiffPIR(...)(prior, observation, num_samples)`.

    Zhu et al. 2023, arXiv:2305.08995. `weight` is the paper's lambda, `zeta` the share of fresh
    noise; 0.1 is theirs for noisy measurements, 1 for inpainting without noise. Everything is in
    the prior's units: where sigma_y is that of images in [0, 1] and the prior's are in [-1, 1], as
    in the authors' code, a lambda of theirs is 4 times that of the formula. The minimum is A^T (A
    A^T + rho_t I)^{-1} (y - A x_0_hat) away for a linear operator; for another the paper takes one
    gradient step, -grad ||y - A(x_0_hat)||^2 / (2 rho_t), which diverges where the noise is high,
    since rho_t falls to 0 there; here it is J^T (y - A(x_0_hat)) / (L^2 + rho_t), with L the slope
    of A along it (deft.operators.base), which is the same where rho_t is large. At sigma_y = 0 a
    linear measurement is met exactly. Raises `InvalidInput` at sigma_y = 0 for an operator that is
    not linear.
    """

    def __init__(
        self, steps: int = 100, weight: float = 1.0, zeta: float = 0.1, grid: TimeGrid | None = None
    ) -> None:
        weight, zeta = (
            checks.positive("weight", weight, "the paper's lambda"),
            checks.share("zeta", zeta, "the share of fresh noise"),
        )
        self.steps, self.weight, self.zeta, self.grid = (
            at_least_one(steps),
            weight,
            zeta,
            grid or RootTime(),
        )

    def applies(self, prior: Prior, observation: Observation) -> None:
        differentiable(prior, observation, "DiffPIR")
        if not isinstance(observation.operator, LinearOperator) and bool(
            (observation.sigma_y == 0).any()
        ):
            raise InvalidInput(
                "at sigma_y = 0 DiffPIR needs a linear operator",
                given=type(observation.operator).__name__,
                expected="a LinearOperator, or a sigma_y > 0",
                advice=instead(prior, observation, "DiffPIR"),
            )

    def step(
        self, prior: Prior, observation: Observation, state: State, s: Times, noise: Noise
    ) -> State:
        denoised = prior.at(state.x_t, state.t)
        alpha_s, sigma_s = prior.levels(state.x_t, s)

        x_0 = self._consistent(denoised, observation)
        eps_hat = (state.x_t - denoised.alpha_t * x_0) / denoised.sigma_t
        fresh = prior.noise(noise, state.step + 1)
        x_s = alpha_s * x_0 + sigma_s * ((1 - self.zeta) ** 0.5 * eps_hat + self.zeta**0.5 * fresh)
        return State(x_s, s, state.step + 1)

    def finish(self, prior: Prior, observation: Observation, state: State, noise: Noise) -> Signal:
        return self._consistent(prior.at(state.x_t, state.t), observation)

    def _consistent(self, denoised: Denoised, observation: Observation) -> Signal:
        """x_0', the minimum."""
        x_0_hat, operator = denoised.x_0_hat, observation.operator
        rho = (
            self.weight
            * (observation.sigma_y.to(x_0_hat) * (denoised.alpha_t / denoised.sigma_t).flatten())
            ** 2
        )
        return x_0_hat + operator.pull(
            x_0_hat, observation.residual(x_0_hat), torch.ones_like(rho), rho
        )
