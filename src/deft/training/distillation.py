"""h for few steps: from a teacher of many, and by a proper score of its samples.

By a teacher. The probability-flow ODE of the posterior takes x_t to x_s in n small steps, with the
h-transform that is given. A first-order step lands there if the shift is

    shift* = (x_s - b x_t) / a - x_0_hat,    x_s' - x_s = a (shift - shift*)

(a, b: deft.transitions, c = 0), so that with r_t the unit of h (deft.htransforms.learned)

    loss = mean over entries of ((x_s' - x_s) / (a r_t))^2 = mean of ((shift - shift*) / r_t)^2.

The minimiser is E[shift* | what h reads]: exact where h can say the map, and else a mean of places,
which makes samples narrower. States are those of the teacher, or those of the student, from which
the teacher shows the way (Ross et al. 2011, arXiv:1011.0686). Progressive distillation (Salimans &
Ho 2022, arXiv:2202.00512) has the same target, with a student of the prior's size.

By a score. The truth is one draw of p(x_s | y): x_s = alpha_s x_0 + sigma_s eps. Two samples X, X'
of the student for the same y are compared with it by the energy score

    ES(P, x) = E||X - x|| - E||X - X'|| / 2

whose mean over truths is least at the true distribution alone (Gneiting & Raftery 2007,
doi:10.1198/016214506000001437, section 4.3). Taken over the whole signal and over patches of it, it
stays proper; over single entries it is the CRPS. No teacher is needed, nor does h have to say the
map of a flow: what counts is where samples are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Literal, final, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from deft import checks
from deft.errors import InvalidInput
from deft.htransforms.base import HTransform
from deft.likelihoods import Observation
from deft.noise import Noise, mix
from deft.posterior import Posterior
from deft.priors.base import Prior
from deft.problems import Problem
from deft.samplers.base import Sampler
from deft.samplers.dpm_solver import DPMSolver
from deft.steps import State, walk
from deft.storage.fingerprint import of_state
from deft.training.batch import Batch, Loss
from deft.training.denoising import number_of
from deft.training.rollout import Remembered, Rollout
from deft.types import LogProb, Signal, Times

Follow = Literal["student", "teacher"]
_TRUTH = 5  # stream of a batch's noise
_END = 9.0  # the log-SNR of the teacher's last evaluation
_TINY = 1e-12


@final
class EnergyScore(Rollout):
    """The energy score of a few-step sampler's states: its minimiser draws from p(x_s | y) at every
    step, as far as h can say it.

    `samples` (at least 2) are drawn for each measurement. `patches` are the sides of the patches of
    images beside the whole, 1 for single places; signals of one axis have places alone.
    """

    def __init__(
        self,
        problem: Problem,
        sampler: Sampler | None = None,
        *,
        samples: int = 2,
        patches: Sequence[int] = (1, 4),
    ) -> None:
        checks.whole("samples", samples, least=2, most=64, meaning="to compare with each other")
        for side in patches:
            checks.whole("patches", side, most=1 << 12, meaning="places, the side of a patch")
        super().__init__(problem, sampler, samples)
        self.patches = tuple(patches)

    def loss(self, h_transform: HTransform, prior: Prior, batch: Batch) -> Loss:
        if prior.event_axes == "cloud":
            raise InvalidInput(
                type(self).__name__,
                given=f"{prior.name}, a prior of clouds of points",
                expected="a prior of images or sequences: its patches are of places on a grid",
                advice="use TrajectoryMatching",
            )
        return super().loss(h_transform, prior, batch)

    def aim(
        self, prior: Prior, observation: Observation, batch: Batch, state: State, s: Times | None
    ) -> Signal:
        if s is None:
            return batch.x_0
        prior = batch.told(prior)  # of each truth, not of each sample
        alpha_s, sigma_s = prior.levels(batch.x_0, s)
        eps = prior.noise(batch.noise.stream(_TRUTH), state.step)
        return alpha_s * batch.x_0 + sigma_s * eps.to(batch.x_0)

    def compared(self, x_s: Signal, aim: Signal, unit: Tensor) -> LogProb:
        x = (x_s / unit).unflatten(0, (len(aim), self.samples))
        truth = aim / unit
        error = torch.stack([self._norm(x[:, j] - truth) for j in range(self.samples)]).mean(0)
        pairs = combinations(range(self.samples), 2)
        spread = torch.stack([self._norm(x[:, j] - x[:, k]) for j, k in pairs]).mean(0)
        return error - spread / 2

    def _norm(self, difference: Signal) -> LogProb:
        """The root mean square over the whole signal, and over patches of each side, averaged."""
        square = difference.square()
        found = [(square.flatten(1).mean(1) + _TINY).sqrt()]
        places = square.mean(1, keepdim=True) if square.ndim > 2 else square
        for side in self.patches:
            if side == 1:
                found.append((places + _TINY).sqrt().flatten(1).mean(1))
            elif places.ndim == 4 and side < min(places.shape[2:]):
                within = F.avg_pool2d(places, side, max(side // 2, 1))
                found.append((within + _TINY).sqrt().flatten(1).mean(1))
        return torch.stack(found).mean(0)

    def card(self) -> dict[str, object]:
        return {**super().card(), "patches": list(self.patches)}


@final
class TrajectoryMatching(Rollout):
    """The distance of each step of a few-step sampler to where a teacher of many steps goes from
    the same state.

    The teacher is an h-transform, `substeps` evaluations of DPM-Solver++(2M) for each step of the
    student, even in log-SNR. `follow` says whose states are learned from: "student", those that the
    student itself visits, or "teacher". The student's sampler draws no noise. With `repeats`, and
    the teacher's states, a signal has so many measurements and paths in all, which are kept in
    memory: after the first time it costs derivatives of h alone.
    """

    def __init__(
        self,
        problem: Problem,
        teacher: HTransform,
        sampler: Sampler | None = None,
        *,
        substeps: int = 5,
        follow: Follow = "student",
        repeats: int | None = None,
    ) -> None:
        if follow not in (places := get_args(Follow)):
            raise InvalidInput("follow", given=follow, expected=" or ".join(map(repr, places)))
        self.substeps = checks.whole(
            "substeps", substeps, most=1000, meaning="evaluations of the teacher in each step"
        )
        if repeats is not None:
            checks.whole("repeats", repeats, meaning="paths of each signal")
            if follow == "student":
                raise InvalidInput(
                    "repeats",
                    given=repeats,
                    expected="nothing with follow='student', whose states change as h learns",
                    advice="use follow='teacher'",
                )
        super().__init__(problem, sampler, 1)
        self.teacher, self.follow = teacher.requires_grad_(False).eval(), follow
        self.repeats, self._kept = repeats, dict[tuple[int, int], tuple[Tensor, Tensor]]()

    def check_sampler(self) -> None:
        super().check_sampler()
        if self.sampler.eta:
            raise InvalidInput(
                "sampler",
                given=f"eta={self.sampler.eta:g}",
                expected="one that draws no noise: a teacher shows where one state goes",
                advice="use eta=0, or EnergyScore, which compares distributions",
            )

    def loss(self, h_transform: HTransform, prior: Prior, batch: Batch) -> Loss:
        if self.repeats is not None:
            noise, pairs = batch.noise, zip(batch.x_0, batch.noise.seeds, strict=True)
            seeds = [mix(number_of(x), seed % self.repeats) for x, seed in pairs]
            noise = Noise(seeds, noise.device, noise.dtype)
            batch = replace(batch, noise=noise, denoised=None)
        return super().loss(h_transform, prior, batch)

    def ready(self, prior: Remembered, batch: Batch, state: State) -> None:
        known = self._known(batch, state)
        if known is not None:
            prior.remember(state.x_t, state.t, known[0])

    def _known(self, batch: Batch, state: State) -> tuple[Tensor, Tensor] | None:
        """What the prior and the teacher say at a step of paths that were taken before."""
        found = [self._kept.get((seed, state.step)) for seed in batch.noise.seeds]
        some = [pair for pair in found if pair is not None]
        if len(some) < len(found) or not some:
            return None
        x_0_hat, aim = (torch.stack(values).to(state.x_t) for values in zip(*some, strict=True))
        return x_0_hat, aim

    def aim(
        self, prior: Prior, observation: Observation, batch: Batch, state: State, s: Times | None
    ) -> Signal:
        known = self._known(batch, state)
        if known is not None:
            return known[1]
        x_0_hat = prior.denoise(state.x_t, state.t)  # from memory
        aim = self._led(prior, observation, batch, state, s)
        if self.repeats is not None:
            for seed, *pair in zip(batch.noise.seeds, x_0_hat.cpu(), aim.cpu(), strict=True):
                self._kept[seed, state.step] = (pair[0], pair[1])
        return aim

    def _led(
        self, prior: Prior, observation: Observation, batch: Batch, state: State, s: Times | None
    ) -> Signal:
        """Where the teacher goes."""
        posterior, solver = Posterior(prior, self.teacher, observation), DPMSolver(self.substeps)
        noise = Noise(batch.noise.seeds, batch.noise.device, batch.noise.dtype)  # never drawn from
        times = self._between(prior, state.t, s)

        def step(at: State, to: Times) -> State:
            return solver.step(posterior, at, to, noise)

        *_, last = walk(times, State(state.x_t, state.t), step)
        return last.x_t if s is not None else posterior.denoise(last.x_t, last.t)

    def _between(self, prior: Prior, t: Times, s: Times | None) -> Tensor:
        """The teacher's times from t to s, both included; to its own last evaluation for None."""
        schedule = prior.schedule
        start = float(schedule.log_snr(t.double()))
        end = (
            max(min(_END, schedule.log_snr_range[1]), start)
            if s is None
            else float(schedule.log_snr(s.double()))
        )
        count = self.substeps + (s is not None)
        grid = torch.linspace(start, end, count, dtype=torch.float64, device=t.device)
        between = schedule.snap(schedule.time(grid))
        between[0] = t[0]
        if s is not None:
            between[-1] = s[0]
        kept = torch.ones_like(between, dtype=torch.bool)
        kept[1:] = between.diff() < 0
        return between[kept]

    def onwards(self, moved: State, aim: Signal) -> State:
        return moved if self.follow == "student" else replace(moved, x_t=aim)

    def compared(self, x_s: Signal, aim: Signal, unit: Tensor) -> LogProb:
        return ((x_s - aim) / unit).square().flatten(1).mean(1)

    def card(self) -> dict[str, object]:
        return {
            **super().card(),
            "teacher": of_state(self.teacher)[:16],
            "substeps": self.substeps,
            "follow": self.follow,
            **({} if self.repeats is None else {"repeats": self.repeats}),
        }
