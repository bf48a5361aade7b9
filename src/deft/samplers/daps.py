"""DAPS: solve for x_0, move it to the measurement by Langevin dynamics, noise it afresh to the next
level.

    x_0_hat  = the end of the probability-flow ODE from x_t, by Euler steps in v = sigma / alpha
    x_0
        <- x_0 - h_k [(x_0 - x_0_hat) / r_t^2 + grad ||y - A(x_0)||^2 / (2 tau^2)] + sqrt(2 h_k) z,
        from x_0_hat, r_t = v_t
    x_s      = alpha_s x_0 + sigma_s z,
    h_k = step_size (delta + (1 - k / N) (1 - delta)) in the k-th of N levels

If x_0 were drawn from p(x_0 | x_t, y), every level would hold the posterior's marginal. Langevin
dynamics that come to rest draw from N(x_0_hat, r_t^2) p(y | x_0) instead, and levels that fall
slowly then sample

    p(x_0) p(y | x_0)           with one ODE step, x_0_hat = E[x_0 | x_t]
    p(x_0)^(1/2) p(y | x_0)
        with the ODE solved: it moves half as far as the mean,
            while the two noises are as large as before

The published step sizes and numbers are short of rest where the noise is high.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from deft import checks
from deft.errors import InvalidInput
from deft.likelihoods import Observation
from deft.noise import Noise
from deft.priors.base import Prior
from deft.samplers.arguments import MOST_STEPS, at_least_one
from deft.samplers.conditional import differentiable, misfit_gradient
from deft.samplers.grids import Karras as Karras  # where files of earlier versions name it
from deft.samplers.grids import TimeGrid, falling
from deft.samplers.posterior import PosteriorSampler
from deft.steps import State
from deft.types import Signal, Times, expand

_BLOCK = 10  # Langevin steps whose noise is drawn at once: a seed costs more than a number
_ODE_END = 0.01  # sigma / alpha of the last evaluation, in the unit of the signal


@final
class DAPS(PosteriorSampler):
    """DAPS; it conditions by itself: `DAPS(...)(prior, observation, num_samples)`.

    Zhang et al. 2024, arXiv:2407.01521, Algorithm 1 with Langevin dynamics, for any schedule, in
    the prior's units; the defaults are DAPS-1K for images in [-1, 1]. `noise_level` is tau: 0.01 is
    theirs where sigma_y = 0.05, None takes the measurement's own sigma_y, with which alone y counts
    as it should. `ode_steps` * `steps` evaluations. The published step is tau^2: it should change
    with tau, and stay below 2 / (1 / r_t^2 + ||A||^2 / tau^2) at every level. Raises `InvalidInput`
    for an operator that is neither linear nor differentiable, for noise_level = None at sigma_y =
    0, and where the dynamics diverge.
    """

    def __init__(
        self,
        steps: int = 200,
        ode_steps: int = 5,
        langevin_steps: int = 100,
        step_size: float = 1e-4,
        delta: float = 0.01,
        noise_level: float | None = 0.01,
        grid: TimeGrid | None = None,
    ) -> None:
        ode_steps = checks.whole(
            "ode_steps", ode_steps, most=MOST_STEPS, meaning="evaluations in each step"
        )
        langevin_steps = checks.whole(
            "langevin_steps", langevin_steps, least=0, most=MOST_STEPS, meaning="in each step"
        )
        step_size, delta = (
            checks.positive("step_size", step_size),
            checks.share("delta", delta, "the last step size over the first"),
        )
        if noise_level is not None:
            noise_level = checks.positive(
                "noise_level",
                noise_level,
                "the noise that is supposed",
                "use None for the measurement's own",
            )
        self.steps, self.ode_steps, self.langevin_steps = (
            at_least_one(steps),
            ode_steps,
            langevin_steps,
        )
        self.step_size, self.delta, self.noise_level, self.grid = (
            step_size,
            delta,
            noise_level,
            grid or Karras(),
        )

    @property
    def evaluations(self) -> int:
        return self.steps * self.ode_steps

    def applies(self, prior: Prior, observation: Observation) -> None:
        differentiable(prior, observation, "DAPS")
        self._variance(observation)

    def step(
        self, prior: Prior, observation: Observation, state: State, s: Times, noise: Noise
    ) -> State:
        x_0 = self._signal(prior, observation, state, noise)
        alpha_s, sigma_s = prior.levels(x_0, s)
        return State(
            alpha_s * x_0 + sigma_s * prior.noise(noise, state.step + 1), s, state.step + 1
        )

    def finish(self, prior: Prior, observation: Observation, state: State, noise: Noise) -> Signal:
        return self._signal(prior, observation, state, noise)

    def _signal(self, prior: Prior, observation: Observation, state: State, noise: Noise) -> Signal:
        """x_0 given x_t and y."""
        x_0_hat = self._solve(prior, state.x_t, state.t)
        size = self.step_size * (self.delta + (1 - state.step / self.steps) * (1 - self.delta))
        alpha_t, sigma_t = prior.levels(x_0_hat, state.t)
        x_0 = self._langevin(
            prior, observation, x_0_hat, sigma_t / alpha_t, size, noise.stream(state.step + 1)
        )
        if not bool(torch.isfinite(x_0).all()):
            raise InvalidInput(
                f"the Langevin dynamics of DAPS diverged in step {state.step + 1} of "
                f"{self.steps}, with step_size = {self.step_size:g}; it must be below "
                "2 noise_level^2 / ||A||^2. Give a smaller step_size, or a larger noise_level."
            )
        return x_0

    def _solve(self, prior: Prior, x_t: Signal, t: Times) -> Signal:
        """The probability-flow ODE from t to no noise; the last step is the denoiser's own."""
        schedule = prior.schedule
        v_t = (-schedule.log_snr(t) / 2).exp()
        times = schedule.snap(
            schedule.time(-2 * falling(v_t, min(_ODE_END, float(v_t.min())), self.ode_steps).log())
        )
        alpha_t, sigma_t = prior.levels(x_t, t)
        u, v, x_0_hat = x_t / alpha_t, sigma_t / alpha_t, prior.denoise(x_t, t)
        for s in times[1:, None]:
            alpha_s, sigma_s = prior.levels(x_t, s)
            u, v = x_0_hat + sigma_s / alpha_s / v * (u - x_0_hat), sigma_s / alpha_s
            x_0_hat = prior.denoise(alpha_s * u, s)
        return x_0_hat

    def _langevin(
        self,
        prior: Prior,
        observation: Observation,
        x_0_hat: Signal,
        r_t: Tensor,
        size: float,
        noise: Noise,
    ) -> Signal:
        """Unadjusted Langevin dynamics on N(x_0_hat, r_t^2) p(y | x_0), from x_0_hat."""
        variance = expand(self._variance(observation), x_0_hat).to(x_0_hat)
        x_0 = x_0_hat
        for start in range(0, self.langevin_steps, _BLOCK):
            block = prior.noise(noise, start, min(_BLOCK, self.langevin_steps - start))
            for z in block.unbind(1):
                slope = (x_0 - x_0_hat) / r_t**2 + misfit_gradient(
                    observation, x_0, "DAPS"
                ) / variance
                x_0 = x_0 - size * slope + (2 * size) ** 0.5 * z
        return x_0

    def _variance(self, observation: Observation) -> Tensor:
        """tau^2, one for all or one per signal."""
        if self.noise_level is not None:
            return torch.full_like(observation.sigma_y, self.noise_level) ** 2
        if bool((observation.sigma_y == 0).any()):
            raise InvalidInput(
                "noise_level = None takes the measurement's own noise, and sigma_y is 0; give "
                "DAPS a noise_level > 0, such as 0.01."
            )
        return observation.sigma_y**2
