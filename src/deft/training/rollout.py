"""Losses on the few steps of a sampler, taken as it would take them.

    x_1 = the prior's initial draw,    x_{k+1} = step(x_k),    x_{K+1} = finish(x_K)

The sampler (the student) has a fixed grid of K times and asks the prior once at each. Only h is
trained: every state is given to the next step as a constant, and the prior is never differentiated.
The gradient of one step is therefore exact, and costs one evaluation of the prior and one
derivative of h. A step need not be small: what a long step leaves out is what h learns to say.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import final

import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.htransforms.base import HTransform, NoConditioning
from deft.likelihoods import Observation
from deft.posterior import Posterior
from deft.priors.base import Prior
from deft.priors.wrapped import WrappedPrior
from deft.problems import Problem
from deft.samplers.base import Sampler
from deft.samplers.ddim import DDIM
from deft.samplers.grids import UniformLogSNR
from deft.steps import State, walk
from deft.training.base import Objective
from deft.training.batch import Batch, Loss
from deft.training.measured import measured
from deft.training.validated import made
from deft.training.validation import Validation
from deft.transitions import Steps, Transition
from deft.types import LogProb, Signal, Times

_OBSERVATION, _SAMPLES = 1, 4  # streams of a batch's noise
LOW, HIGH = -3.0, 4.0


def student(steps: int, low: float = LOW, high: float = HIGH, eta: float = 0.0) -> Sampler:
    """A sampler of few steps: DDIM, the first evaluation at the noise end and the others even in
    log-SNR, the last at `high`.

    The last step returns what h says there, a sample, so that the grid need not end near the data.
    """
    return DDIM(steps, eta=eta, grid=UniformLogSNR(high, low))


@final
class Remembered(WrappedPrior):
    """A prior that answers a second time from memory, where it is asked at the same place."""

    def __init__(self, prior: Prior) -> None:
        super().__init__(prior)
        self._last: tuple[Tensor, Tensor, Tensor] | None = None

    def remember(self, x_t: Signal, t: Times, x_0_hat: Signal) -> None:
        """What it is to say where it is asked at this place next."""
        self._last = (x_t, t, x_0_hat)

    def around(self, prior: Prior) -> Remembered:
        return Remembered(prior)

    def denoise(self, x_t: Signal, t: Times) -> Signal:
        last = self._last
        if last is None or last[0] is not x_t or not torch.equal(last[1], t):
            last = self._last = (x_t, t, self.prior.denoise(x_t, t))
        return last[2]


class Rollout(Objective):
    """A loss on every step of a sampler of few steps, averaged over the steps.

    A subclass implements `compared`, and may say that states go another way (`onwards`). `samples`
    are drawn side by side for each measurement.
    """

    def __init__(self, problem: Problem, sampler: Sampler | None = None, samples: int = 1) -> None:
        super().__init__()
        self.problem, self.sampler, self.samples = problem, sampler or student(4), samples
        self.check_sampler()

    def check_sampler(self) -> None:
        """Raise `InvalidInput` for a sampler that this objective has no loss for."""
        if not isinstance(self.sampler, Sampler):
            raise InvalidInput(
                "sampler",
                given=type(self.sampler).__name__,
                expected="a sampler of posteriors, such as DDIM or DPMSolver",
            )

    @abstractmethod
    def compared(self, x_s: Signal, aim: Signal, unit: Tensor) -> LogProb:
        """The loss of one step, one number per measurement: `x_s` (measurements * samples, *event)
        against what it is to be, in units of `unit`.
        """

    @abstractmethod
    def aim(
        self,
        prior: Prior,
        observation: Observation,
        batch: Batch,
        state: State,
        s: Times | None,
    ) -> Signal:
        """What a step from `state` to time s, or to x_0 where s is None, is compared with."""

    def ready(self, prior: Remembered, batch: Batch, state: State) -> None:
        """Called before each step: what is known of it beforehand."""

    def onwards(self, moved: State, aim: Signal) -> State:
        """Where the next step begins: where the student is."""
        return moved

    def loss(self, h_transform: HTransform, prior: Prior, batch: Batch) -> Loss:
        if h_transform.needs_prior_gradient:
            raise InvalidInput(
                type(self).__name__,
                given=f"{type(h_transform).__name__}, which differentiates the prior",
                expected="an h-transform that does not: LearnedHTransform",
            )
        prior, sampler, n = batch.told(prior), self.sampler, len(batch)
        with torch.autocast(batch.x_0.device.type, enabled=False):
            drawn = batch.noise.stream(_OBSERVATION)
            observation = measured(self.problem, prior, batch.x_0, drawn, batch.seen)
            _ = observation.lifted  # once for all samples
        owner = torch.arange(n).repeat_interleave(self.samples)
        noise = batch.noise.stream(_SAMPLES).repeat(self.samples)
        times = sampler.times_of(prior)
        steps = Steps(prior.schedule, times, sampler.eta)
        own = prior.take(owner)  # what the prior is told is told of each sample
        known, observation = Remembered(own.on(steps)), observation.take(owner)
        said = Posterior(known, h_transform.on(steps), observation)
        bare = Posterior(known, NoConditioning(), observation)
        losses: list[LogProb] = []
        without: list[LogProb] = []

        def keep(x_s: Signal, no_h: Signal, state: State, s: Times | None) -> Signal:
            with torch.no_grad():
                aim = self.aim(known, observation, batch, state, s)
                unit = self._unit(own, state, s)
                without.append(self.compared(no_h, aim, unit))
            losses.append(self.compared(x_s, aim, unit))
            return aim

        def step(state: State, s: Times) -> State:
            self.ready(known, batch, state)
            moved = sampler.step(said, state, s, noise)
            with torch.no_grad():
                no_h = sampler.step(bare, state, s, noise)
            aim = keep(moved.x_t, no_h.x_t, state, s)
            memory = tuple(value.detach() for value in moved.memory)
            return self.onwards(replace(moved, x_t=moved.x_t.detach(), memory=memory), aim)

        *_, state = walk(times, State(sampler.start(own, noise), times[:1]), step)
        self.ready(known, batch, state)
        x_0 = sampler.finish(said, state, noise)
        with torch.no_grad():
            no_h = sampler.finish(bare, state, noise)
        keep(x_0, no_h, state, None)
        log_snr = prior.schedule.log_snr(times[-1:]).to(batch.x_0)
        found = Loss(
            torch.stack(losses).mean(0),
            {"without": torch.stack(without).mean(0), "log_snr": log_snr.expand(n)},
        )
        return (
            found.over(prior.dimensions, batch.x_0, "without")
            if prior.event_axes == "cloud"
            else found
        )

    def _unit(self, prior: Prior, state: State, s: Times | None) -> Tensor:
        """a r_t: what one r_t of shift moves x_s by, in a first-order step without noise."""
        alpha_t, sigma_t = prior.levels(state.x_t, state.t)
        spread = prior.scale * sigma_t / (alpha_t**2 * prior.scale**2 + sigma_t**2).sqrt()
        if s is None:
            return spread
        a = Transition.between(prior.schedule, state.t, s, 0.0).a
        return spread * a.to(spread).reshape(spread[:1].shape)

    def validation(self, value: Tensor, shown: Mapping[str, Tensor]) -> Validation:
        return Validation(float(value.mean()), float(shown["without"].mean()))

    def progress(self, means: Mapping[str, float]) -> str:
        return f"loss {means['loss']:.4g} ({means['loss'] / means['without']:.2f} of no h)"

    def where(self, prior: Prior, shown: Mapping[str, Tensor]) -> str:
        return f"a walk of {self.sampler.steps} steps"

    def asked_at(self, prior: Prior) -> list[float]:
        """The log-SNRs of the grid, from noise to signal: those that h learns to speak at."""
        times = self.sampler.times_of(prior)
        return [round(float(v), 6) for v in prior.schedule.log_snr(times)]

    def card(self) -> dict[str, object]:
        return {
            **super().card(),
            "problem": self.problem.card(),
            "sampler": made(self.sampler),
            "samples": self.samples,
        }
