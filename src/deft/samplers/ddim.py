"""DDIM: steps that keep the marginals of the prior, from deterministic (eta = 0) to ancestral (eta
= 1, DDPM).

x_s = a x_0_hat + b x_t + c z,    c = eta sigma_s sqrt(1 - (alpha_t sigma_s / (alpha_s sigma_t))^2)
"""

from __future__ import annotations

from typing import final

from deft import checks
from deft.noise import Noise
from deft.priors.base import Prior
from deft.samplers.arguments import at_least_one
from deft.samplers.base import Sampler
from deft.samplers.grids import TimeGrid, UniformTime
from deft.steps import State, drawn
from deft.transitions import Transition
from deft.types import Times


@final
class DDIM(Sampler):
    """One evaluation, one Gaussian step.

    Song et al. 2021, arXiv:2010.02502, eq. 12 and 16, for any schedule. `eta` = 0 follows the
    probability-flow ODE to first order, `eta` = 1 is DDPM (Ho et al. 2020, arXiv:2006.11239). The
    default grid is uniform in time.
    """

    def __init__(self, steps: int, eta: float = 0.0, grid: TimeGrid | None = None) -> None:
        self.eta: float = checks.share("eta", eta, "from 0 (deterministic) to 1 (DDPM)")
        self.steps, self.grid = at_least_one(steps), grid or UniformTime()

    def step(self, prior: Prior, state: State, s: Times, noise: Noise) -> State:
        transition = Transition.between(prior.schedule, state.t, s, self.eta)
        x_s = drawn(
            transition, prior.denoise(state.x_t, state.t), state.x_t, prior, noise, state.step + 1
        )
        return State(x_s, s, state.step + 1)
