"""Replacement: what is measured is overwritten with a noised copy of the measurement; RePaint
travels back in time to let the rest follow. What is known up to a rigid motion (a motif) is moved
nearest to x_0_hat at every step.

    step t -> s     x_s = (I - P) x_s' + P (alpha_s A^+ y + sigma_s z),
    x_s' a DDPM step of the prior,    P = A^+ A (the mask)
    travel s -> t
            x_t = (alpha_t / alpha_s) x_s + sqrt(sigma_t^2 - (alpha_t sigma_s / alpha_s)^2) z

After each `jump_length` steps the path goes back to where they began, and takes them again,
`resamplings` times in all. The first pass over each stretch does not know what comes of the noise
in the copy: replacement alone is biased towards the prior, however small the steps. Without
measurement noise the bias goes to 0 as `resamplings` grows and the steps shrink; A^+ y keeps the
noise of a noisy measurement, and so does the sample.

`ReplacementAfter` takes the steps of any sampler in place of those of DDPM, without travel.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import count, pairwise
from typing import final

import torch

from deft import checks
from deft.errors import InvalidInput
from deft.likelihoods import Observation
from deft.noise import Noise
from deft.operators.base import SpectralOperator
from deft.priors.base import Prior
from deft.priors.wrapped import WrappedPrior
from deft.samplers.arguments import MOST_STEPS, at_least_one
from deft.samplers.base import Sampler
from deft.samplers.conditional import reciprocal, spectral_operator
from deft.samplers.grids import TimeGrid, UniformTime
from deft.samplers.posterior import PosteriorSampler
from deft.steps import State
from deft.transitions import Transition
from deft.types import Signal, Times, expand

_COPIES = 5  # the stream of the noise in the copies of y


@final
class Replacement(PosteriorSampler):
    """Replacement with RePaint's time travel; it conditions by itself: `Replacement(...)(prior,
    observation, num_samples)`.

    Lugmayr et al. 2022, arXiv:2201.09865, Algorithm 1 and its schedule of jumps: with N steps, one
    from each multiple of `jump_length` below N - `jump_length`, counted from the clean end. The j
    forward steps of a jump are one draw here, whose law is the same. `resamplings` = 1 is
    replacement without travel (Song et al. 2021, arXiv:2011.13456, appendix I.2). The operator is
    an inpainting, or another whose non-zero singular values are all equal (block averages, the
    identity), where P is applied in its singular basis. Raises `InvalidInput` for another operator.
    """

    def __init__(
        self,
        steps: int = 250,
        jump_length: int = 10,
        resamplings: int = 10,
        grid: TimeGrid | None = None,
    ) -> None:
        jump_length = checks.whole(
            "jump_length", jump_length, meaning="the steps that a jump goes back"
        )
        resamplings = checks.whole(
            "resamplings",
            resamplings,
            most=MOST_STEPS,
            meaning="the times that each stretch is gone over",
        )
        self.steps, self.jump_length, self.resamplings, self.grid = (
            at_least_one(steps),
            jump_length,
            resamplings,
            grid or UniformTime(),
        )

    @property
    def evaluations(self) -> int:
        jumps = max(0, -(-(self.steps - self.jump_length) // self.jump_length))
        return self.steps + (self.resamplings - 1) * self.jump_length * jumps

    def applies(self, prior: Prior, observation: Observation) -> None:
        somewhere = torch.zeros(len(observation), *prior.event_shape).to(observation.y)
        _projection(prior, observation, somewhere)

    def step(
        self, prior: Prior, observation: Observation, state: State, s: Times, noise: Noise
    ) -> State:
        here = noise.stream(state.step + 1)
        draws = (prior.noise(here, k) for k in count())

        def reverse(x_t: Signal, t: Times, s: Times) -> Signal:
            transition = Transition.between(prior.schedule, t, s, eta=1.0)
            alpha_s, sigma_s = prior.levels(x_t, s)
            x_0_hat = prior.denoise(x_t, t)
            known, operator = _projection(prior, observation, x_0_hat)
            own = transition.mean(x_0_hat, x_t) + transition.c.to(x_t) * next(draws)
            return own + _projected(operator, alpha_s * known + sigma_s * next(draws) - own)

        def travel(x_s: Signal, s: Times, t: Times) -> Signal:
            (alpha_s, sigma_s), (alpha_t, sigma_t) = prior.levels(x_s, s), prior.levels(x_s, t)
            keep = alpha_t / alpha_s
            return keep * x_s + (sigma_t**2 - (keep * sigma_s) ** 2).sqrt() * next(draws)

        x_s = reverse(state.x_t, state.t, s)
        stretch = (*state.memory, state.t)[
            -self.jump_length :
        ]  # the times from which the last steps went
        left = self.steps - 2 - state.step  # steps from s to the end of the grid
        if left % self.jump_length == 0 and left < self.steps - self.jump_length:
            for _ in range(self.resamplings - 1):
                x_s = travel(x_s, s, stretch[0])
                for t, u in pairwise((*stretch, s)):
                    x_s = reverse(x_s, t, u)
        return State(x_s, s, state.step + 1, stretch)

    def finish(self, prior: Prior, observation: Observation, state: State, noise: Noise) -> Signal:
        x_0_hat = prior.denoise(state.x_t, state.t)
        known, operator = _projection(prior, observation, x_0_hat)
        return x_0_hat + _projected(operator, known - x_0_hat)


@final
class ReplacementAfter(PosteriorSampler):
    """Replacement after each step of a sampler, `ReplacementAfter(Cooled(80, 0.6, 6.0))`.

        x_s = (I - P) x_s' + P (alpha_s A^+ y + sigma_s z),    x_s' = sampler.step(x_t)

    Song et al. 2021, arXiv:2011.13456, appendix I.2, for the steps of any sampler. x_s' is what the
    sampler alone makes of x_t, with the same noise; what is known up to a rigid motion is moved
    nearest to the estimate that the sampler was last given. Operators, and what is raised, are
    those of `Replacement`.
    """

    def __init__(self, sampler: Sampler) -> None:
        self.sampler, self.steps, self.grid = sampler, sampler.steps, sampler.grid

    @property
    def evaluations(self) -> int:
        return self.sampler.evaluations

    def applies(self, prior: Prior, observation: Observation) -> None:
        self.sampler.check(prior)
        somewhere = torch.zeros(len(observation), *prior.event_shape).to(observation.y)
        _projection(prior, observation, somewhere)

    def start(self, prior: Prior, observation: Observation, noise: Noise) -> Signal:
        return self.sampler.start(prior, noise)

    def step(
        self, prior: Prior, observation: Observation, state: State, s: Times, noise: Noise
    ) -> State:
        asked = _Heard(prior)
        moved = self.sampler.step(asked, state, s, noise)
        known, operator = _projection(prior, observation, asked.said[-1])
        alpha_s, sigma_s = prior.levels(moved.x_t, s)
        copy = alpha_s * known + sigma_s * prior.noise(noise.stream(_COPIES), state.step + 1)
        return replace(moved, x_t=moved.x_t + _projected(operator, copy - moved.x_t))

    def finish(self, prior: Prior, observation: Observation, state: State, noise: Noise) -> Signal:
        x_0 = self.sampler.finish(prior, state, noise)
        known, operator = _projection(prior, observation, x_0)
        return x_0 + _projected(operator, known - x_0)


class _Heard(WrappedPrior):
    """A prior whose estimates are kept."""

    def __init__(self, prior: Prior) -> None:
        super().__init__(prior)
        self.said: list[Signal] = []

    def around(self, prior: Prior) -> _Heard:
        return _Heard(prior)

    def denoise(self, x_t: Signal, t: Times) -> Signal:
        self.said.append(self.prior.denoise(x_t, t))
        return self.said[-1]


def _projection(
    prior: Prior, observation: Observation, x_0_hat: Signal
) -> tuple[Signal, SpectralOperator]:
    """A^+ y in the frame of x_0_hat, and the operator, whose measurement must say a part of the
    signal as it is.
    """
    observation = observation.in_frame(x_0_hat)
    operator = spectral_operator(prior, observation, "Replacement")
    known = operator.pseudo_inverse(observation.y)
    inverted = reciprocal(operator.singular_values(operator.v_t(known)))
    uneven = (inverted > 0) & (
        inverted < (1 - 1e-3) * expand(inverted.flatten(1).amax(1), inverted)
    )
    if bool(uneven.any()):
        raise InvalidInput(
            "Replacement overwrites what is measured, which must be a part of the signal as it is",
            given=f"{type(operator).__name__}, whose singular values differ",
            expected="an inpainting, or another operator with equal singular values",
            advice="use the samplers DDRM, DDNMPlus or DiffPIR, which weigh them",
        )
    return known, operator


def _projected(operator: SpectralOperator, x: Signal) -> Signal:
    """P x = A^+ A x."""
    c = operator.v_t(x)
    return operator.v(
        torch.where(reciprocal(operator.singular_values(c)) > 0, c, torch.zeros_like(c))
    )
