"""Heun's method on the probability-flow ODE.

    u = x_t / alpha_t,   v = sigma_t / alpha_t:      du / dv = eps_hat = (u - x_0_hat) / v

In these variables every schedule follows the same ODE (Karras et al. 2022, arXiv:2206.00364,
Section 2), and a schedule is a choice of times.
"""

from __future__ import annotations

from typing import final

from deft.noise import Noise
from deft.priors.base import Prior
from deft.samplers.arguments import at_least_one
from deft.samplers.base import Sampler
from deft.samplers.grids import TimeGrid, UniformLogSNR
from deft.steps import State
from deft.types import Times


@final
class Heun(Sampler):
    """Second order: the slope at t and the slope where it leads, averaged.

        u' = u_t + (v_s - v_t) eps_hat_t,    u_s = u_t + (v_s - v_t) (eps_hat_t + eps_hat'_s) / 2

    Karras et al. 2022, arXiv:2206.00364, Algorithm 1, for any schedule; the last step is the
    denoiser's own, as theirs is. Two evaluations a step, one for the last: 2 * steps - 1. The
    default grid is uniform in log-SNR.
    """

    def __init__(self, steps: int, grid: TimeGrid | None = None) -> None:
        self.steps, self.grid = at_least_one(steps), grid or UniformLogSNR()

    @property
    def evaluations(self) -> int:
        return 2 * self.steps - 1

    def step(self, prior: Prior, state: State, s: Times, noise: Noise) -> State:
        alpha_t, alpha_s = prior.schedule.alpha(state.t), prior.schedule.alpha(s)
        v_t, v_s = prior.schedule.sigma(state.t) / alpha_t, prior.schedule.sigma(s) / alpha_s

        u_t = state.x_t / alpha_t.to(state.x_t)
        slope = (u_t - prior.denoise(state.x_t, state.t)) / v_t.to(u_t)
        u_s = u_t + (v_s - v_t).to(u_t) * slope
        slope_s = (u_s - prior.denoise(alpha_s.to(u_s) * u_s, s)) / v_s.to(u_s)
        u_s = u_t + (v_s - v_t).to(u_t) * (slope + slope_s) / 2
        return State(alpha_s.to(u_s) * u_s, s, state.step + 1)
