"""DPM-Solver++: the probability-flow ODE, solved exactly but for the estimate.

    x_s = (sigma_s / sigma_t) x_t + alpha_s (1 - exp(-h)) D,    h = lambda_s - lambda_t,
    lambda = log(alpha / sigma)

D is x_0_hat, extrapolated over the step in lambda. With fresh noise the factors are those of a
Gaussian step (deft.transitions).
"""

from __future__ import annotations

from typing import final

import torch

from deft import checks
from deft.errors import InvalidInput
from deft.noise import Noise
from deft.priors.base import Prior
from deft.samplers.arguments import at_least_one, order_of
from deft.samplers.base import Sampler
from deft.samplers.exponential import half_log_snr, moved, weights
from deft.samplers.grids import TimeGrid, UniformLogSNR
from deft.steps import State, drawn
from deft.transitions import Transition
from deft.types import Times


@final
class DPMSolver(Sampler):
    """DPM-Solver++, multistep: second order (2M) or third (3M) at one evaluation a step.

        2M:  D = (1 + h / (2 h')) x_0_hat_t - h / (2 h') x_0_hat_r,    h' = lambda_t - lambda_r
        3M:  the parabola through the last three x_0_hat, integrated exactly
             (deft.samplers.exponential)

    with r the time of the step before; the first step takes D = x_0_hat_t, the second of 3M is
    2M's. Lu et al. 2022, arXiv:2211.01095, Algorithm 2. 3M is derived here: codes in use weigh the
    curvature by half of its integral, which leaves the second order. With `eta` > 0 a step of 2M
    draws fresh noise, x_s = a D + b x_t + c z with the factors of `Transition` (at eta = 1 the
    paper's SDE form, Section 5). The last step is the denoiser's own. The default grid is uniform
    in log-SNR. Raises `InvalidInput` for fresh noise with the third order.
    """

    def __init__(
        self, steps: int, grid: TimeGrid | None = None, order: int = 2, eta: float = 0.0
    ) -> None:
        self.steps, self.grid = at_least_one(steps), grid or UniformLogSNR()
        self.order = order_of(order)
        self.fresh = checks.share("eta", eta, "from 0 (deterministic) to 1 (the SDE)")
        if self.fresh and self.order > 2:
            raise InvalidInput(
                "eta",
                given=eta,
                expected=f"0 with order={order}: fresh noise is for orders 1 and 2",
                advice="use order=2, or eta=0",
            )

    def step(self, prior: Prior, state: State, s: Times, noise: Noise) -> State:
        schedule, t = prior.schedule, state.t
        now, to = half_log_snr(schedule, t), half_log_snr(schedule, s)
        h, x_0_hat = to - now, prior.denoise(state.x_t, t)
        known = (x_0_hat, t, *state.memory)
        memory = known[: 2 * (self.order - 1)]
        order = min(self.order, len(known) // 2, self.steps - state.step)

        if order == 3:
            places = [half_log_snr(schedule, r) - now for r in known[1::2]]
            x_s = moved(schedule, state.x_t, t, s, weights(h, places), known[::2])
            return State(x_s, s, state.step + 1, memory)

        estimate = x_0_hat
        if order == 2:
            h_before = now - half_log_snr(schedule, known[3])
            estimate = torch.lerp(known[2], x_0_hat, (1 + h / (2 * h_before)).to(x_0_hat))
        if self.fresh:
            transition = Transition.between(schedule, t, s, self.fresh)
            x_s = drawn(transition, estimate, state.x_t, prior, noise, state.step + 1)
        else:
            keep = (schedule.sigma(s) / schedule.sigma(t)).to(x_0_hat)
            gain = (-schedule.alpha(s) * torch.expm1(-h)).to(x_0_hat)
            x_s = keep * state.x_t + gain * estimate
        return State(x_s, s, state.step + 1, memory)
