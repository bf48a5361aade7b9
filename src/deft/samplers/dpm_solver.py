"""DPM-Solver++: the probability-flow ODE, solved exactly but for the estimate.

    x_s = (sigma_s / sigma_t) x_t + alpha_s (1 - exp(-h)) D,    h = lambda_s - lambda_t,
    lambda = log(alpha / sigma)

D is x_0_hat, extrapolated to the middle of the step in lambda.
"""

from __future__ import annotations

from typing import final

import torch

from deft.noise import Noise
from deft.priors.base import Prior
from deft.samplers.arguments import at_least_one
from deft.samplers.base import Sampler
from deft.samplers.grids import TimeGrid, UniformLogSNR
from deft.steps import State
from deft.types import Times


@final
class DPMSolver(Sampler):
    """DPM-Solver++(2M): second order at one evaluation a step.

        D = (1 + h / (2 h')) x_0_hat_t - h / (2 h') x_0_hat_r,    h' = lambda_t - lambda_r

    with r the time of the step before; the first step takes D = x_0_hat_t. Lu et al. 2022,
    arXiv:2211.01095, Algorithm 2. The last step is the denoiser's own. The default grid is uniform
    in log-SNR.
    """

    def __init__(self, steps: int, grid: TimeGrid | None = None) -> None:
        self.steps, self.grid = at_least_one(steps), grid or UniformLogSNR()

    def step(self, prior: Prior, state: State, s: Times, noise: Noise) -> State:
        schedule, t = prior.schedule, state.t
        h = (schedule.log_snr(s) - schedule.log_snr(t)) / 2
        x_0_hat = prior.denoise(state.x_t, t)

        estimate = x_0_hat
        if state.memory:
            previous, r = state.memory
            h_before = (schedule.log_snr(t) - schedule.log_snr(r)) / 2
            estimate = torch.lerp(previous, x_0_hat, (1 + h / (2 * h_before)).to(x_0_hat))

        keep = (schedule.sigma(s) / schedule.sigma(t)).to(x_0_hat)
        gain = (-schedule.alpha(s) * torch.expm1(-h)).to(x_0_hat)
        return State(keep * state.x_t + gain * estimate, s, state.step + 1, (x_0_hat, t))
