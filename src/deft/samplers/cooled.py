"""Ancestral steps with less noise where little is left: samples nearer to the modes.

    x_s = a x_0_hat + b x_t + k c z,    k = noise_scale where sigma_t / alpha_t < below, 1 elsewhere

a, b and c are those of DDPM (deft.samplers.ddim, eta = 1). With k = 1 this is DDPM. With k < 1 it
draws from no known law: a narrower one, whose samples are more typical and less diverse, as is the
use for protein backbones (Lin & AlQuraishi 2023, arXiv:2301.12485, k = 0.6 at every level). What is
decided above `below`, the size and the shape of the whole, keeps its spread.
"""

from __future__ import annotations

import math
from typing import final

import torch

from deft import checks
from deft.noise import Noise
from deft.priors.base import Prior
from deft.samplers.arguments import at_least_one
from deft.samplers.base import Sampler
from deft.samplers.grids import TimeGrid, UniformTime
from deft.steps import State
from deft.transitions import Transition
from deft.types import Times, expand


@final
class Cooled(Sampler):
    """DDPM with its noise scaled by `noise_scale`, from 0 to 1, at noise levels below `below` (in
    the units of the signals; None for all).
    """

    def __init__(
        self,
        steps: int,
        noise_scale: float = 0.7,
        below: float | None = None,
        grid: TimeGrid | None = None,
    ) -> None:
        self.noise_scale: float = checks.share("noise_scale", noise_scale, "of the noise of DDPM")
        self.below = (
            None
            if below is None
            else checks.positive("below", below, "the noise level below which there is less noise")
        )
        self.steps, self.grid = at_least_one(steps), grid or UniformTime()

    def step(self, prior: Prior, state: State, s: Times, noise: Noise) -> State:
        transition = Transition.between(prior.schedule, state.t, s, 1.0)
        level = prior.schedule.sigma(state.t) / prior.schedule.alpha(state.t)
        below = math.inf if self.below is None else self.below
        c = transition.c * torch.where(level < below, self.noise_scale, 1.0)
        mean = transition.mean(prior.denoise(state.x_t, state.t), state.x_t)
        z = prior.noise(noise, state.step + 1)
        return State(mean + expand(c, mean).to(mean) * z, s, state.step + 1)
