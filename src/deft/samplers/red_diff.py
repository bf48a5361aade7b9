"""RED-diff: one estimate mu, fitted to the measurement by an optimiser, with denoisers of falling
noise as its regulariser.

    x_t  = alpha_t mu + sigma_t eps,    lambda_t = lambda sigma_t / alpha_t
    loss = ||y - A mu||^2 + lambda_t (eps_hat(x_t) - eps)^T mu,
    with eps_hat(x_t) - eps held fixed;    mu <- Adam step

The mean over eps of the second gradient is that of a smoothed -log p, lambda sigma_t^2 grad_mu
E[-log p_t(x_t)] / alpha_t^2, so that mu follows the minimum of the measurement's misfit plus a
penalty that fades with the noise. Slow steps end at the most probable signal that meets the
measurement exactly,

    argmin -log p(mu)  subject to  A mu = y,

whatever sigma_y is; samples of one observation differ by the optimiser's noise only. It is an
estimate, not a draw from the posterior.
"""

from __future__ import annotations

from typing import final

import torch

from deft import checks
from deft.likelihoods import Observation
from deft.noise import Noise
from deft.priors.base import Prior
from deft.samplers.arguments import at_least_one
from deft.samplers.conditional import differentiable, misfit_gradient
from deft.samplers.grids import TimeGrid, UniformTime
from deft.samplers.posterior import PosteriorSampler
from deft.steps import State
from deft.types import Signal, Times

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.99, 1e-8  # Adam's moments as in the paper


@final
class REDDiff(PosteriorSampler):
    """RED-diff; it conditions by itself: `REDDiff(...)(prior, observation, num_samples)`.

    Mardani et al. 2023, arXiv:2305.04391, with lambda_t = lambda / SNR_t, SNR_t = alpha_t /
    sigma_t. `weight` is the paper's lambda, `learning_rate` Adam's, in the signal's unit per step;
    each signal has its own moments, so that it does not depend on its neighbours. mu starts at
    lift(y); `state.x_t` is mu. One evaluation a step. Raises `InvalidInput` for an operator that is
    neither linear nor differentiable.
    """

    def __init__(
        self,
        steps: int = 1000,
        weight: float = 0.25,
        learning_rate: float = 0.1,
        grid: TimeGrid | None = None,
    ) -> None:
        weight = checks.non_negative("weight", weight, "the paper's lambda")
        learning_rate = checks.positive(
            "learning_rate", learning_rate, "Adam's, in the signal's unit per step"
        )
        self.steps, self.weight, self.learning_rate, self.grid = (
            at_least_one(steps),
            weight,
            learning_rate,
            grid or UniformTime(),
        )

    def applies(self, prior: Prior, observation: Observation) -> None:
        differentiable(prior, observation, "REDDiff")

    def start(self, prior: Prior, observation: Observation, noise: Noise) -> Signal:
        return observation.lifted.to(noise.dtype)

    def step(
        self, prior: Prior, observation: Observation, state: State, s: Times, noise: Noise
    ) -> State:
        mu = state.x_t
        alpha_t, sigma_t = prior.levels(mu, state.t)
        eps = prior.noise(noise, state.step + 1)
        eps_hat = prior.at(alpha_t * mu + sigma_t * eps, state.t).eps_hat
        gradient = 2 * misfit_gradient(
            observation, mu, "REDDiff"
        ) + self.weight * sigma_t / alpha_t * (eps_hat - eps)

        k = state.step + 1
        first, second = state.memory or (torch.zeros_like(mu), torch.zeros_like(mu))
        first = _BETA_1 * first + (1 - _BETA_1) * gradient
        second = _BETA_2 * second + (1 - _BETA_2) * gradient**2
        move = first / (1 - _BETA_1**k) / ((second / (1 - _BETA_2**k)).sqrt() + _EPSILON)
        return State(mu - self.learning_rate * move, s, k, (first, second))

    def finish(self, prior: Prior, observation: Observation, state: State, noise: Noise) -> Signal:
        return self.step(prior, observation, state, state.t, noise).x_t
