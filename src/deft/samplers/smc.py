"""Twisted sequential Monte Carlo: samples of a posterior whose proposal is any approximation of it.

    psi_t(x_t) ~ p(y | x_t)    the twist,    psi_0(x_0) = p(y | x_0)

    log w_s = log w_t + log p(x_s | x_t) - log q(x_s | x_t) + log psi_s(x_s) - log psi_t(x_t),
    log w_1 = log psi_1(x_1)

q takes each step with the posterior's x_0_hat, p with the prior's; the last step, x_0 =
x_0_hat(x_{t_N}), is the prior's own in both. Where few particles carry the weight (ESS < threshold
N) they are resampled in proportion to it, and the weights start again from 1. The particles of an
observation are one system: they depend on its seed, and not on other observations. `ResampledSMC`
makes samples of equal weight of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from tqdm.auto import tqdm

from deft import checks
from deft.errors import InvalidInput
from deft.htransforms.base import HTransform, Potential
from deft.likelihoods import Observation
from deft.noise import Noise
from deft.posterior import Posterior
from deft.priors.base import Prior
from deft.samplers.arguments import (
    Seed,
    at_least_one,
    at_most,
    observation_seeds,
    room_for_batch,
    sample_count,
)
from deft.samplers.base import Draws, Sampling, Watch, conditioned
from deft.samplers.grids import TimeGrid, UniformLogSNR
from deft.samplers.weights import (
    WeightedSamples,
    check_finite,
    effective_sample_size,
    has_density,
    relative_variance,
    systematic,
    weighable,
)
from deft.steps import State, stops
from deft.transitions import Steps
from deft.types import Signal, Times

_CHOICE = 4  # the stream of the draws that choose survivors


@final
class TwistedSMC:
    """Weighted samples of p(x_0 | y), and log p(y), from any `Posterior` as the proposal.

    Wu et al. 2023, arXiv:2306.17775, Algorithm 1, with any h-transform in the proposal, a learned
    one too, and with adaptive systematic resampling. `twist` guides the particles on the way and
    cancels at the end; it has to widen with the noise (`GaussianPotential`), since one that is too
    narrow at high noise resamples by chance. `threshold` is the share of the ESS below which
    particles are resampled, 0 for never: then the weights are the path weights. Steps are DDIM's
    with `eta` > 0. As many evaluations as steps per particle. Raises `InvalidInput` for eta = 0,
    and, before anything is evaluated, where sigma_y = 0 or the prior is no `Posterior`.
    """

    def __init__(
        self,
        twist: Potential,
        steps: int,
        *,
        eta: float = 1.0,
        threshold: float = 0.5,
        grid: TimeGrid | None = None,
    ) -> None:
        threshold = checks.share(
            "threshold", threshold, "a share of the particles, from 0 (never resample) to 1"
        )
        if not isinstance(twist, Potential):
            raise InvalidInput(
                "a twist has a density: a Potential, such as GaussianPotential.for_prior(prior); "
                f"got {type(twist).__name__}, which belongs into the Posterior."
            )
        self.twist, self.steps, self.eta, self.threshold = (
            twist,
            at_least_one(steps),
            has_density(eta, "TwistedSMC"),
            threshold,
        )
        self.grid = grid or UniformLogSNR()

    @property
    def evaluations(self) -> int:
        """Evaluations of the prior per particle."""
        return self.steps

    def check(self, posterior: Prior) -> Posterior:
        """The posterior, if there are weights and a twist for it; raises `InvalidInput` where not,
        and evaluates nothing.
        """
        posterior = weighable(posterior, "TwistedSMC")
        try:
            self.twist.check(posterior.prior, posterior.observation)
        except InvalidInput as error:
            raise InvalidInput(
                f"the twist of TwistedSMC: {error.what}",
                given=error.given,
                expected=error.expected,
                advice="use the sampler DDIM or DPMSolver, which need no twist, or a twist of "
                "your own for this likelihood",
            ) from error
        return posterior

    @torch.no_grad()
    def __call__(
        self,
        posterior: Prior,
        num_samples: int,
        *,
        seed: Seed = 0,
        batch_size: int | None = None,
        on_step: Watch | None = None,
        progress: bool = False,
    ) -> WeightedSamples:
        """`num_samples` particles for each observation.

        The particles of an observation depend on (seed of the observation, `num_samples`) alone; an
        integer `seed` gives observation i the seed (seed, i). `batch_size` is the largest number of
        particles denoised at once and changes no result. Weights that collapse are reported in the
        result (`collapsed`). Raises `WeightsNotFinite` with the step, and `OutOfMemory`.
        """
        posterior = self.check(posterior)
        num_samples, batch_size = particle_count("num_samples", num_samples), at_most(batch_size)
        seeds = Noise(
            observation_seeds(seed, len(posterior.observation)), posterior.device, posterior.dtype
        )
        noise, choice = seeds.repeat(num_samples), seeds.stream(_CHOICE)
        times = self.grid.times(posterior.schedule, self.steps).to(posterior.device)
        posterior = posterior.on(Steps(posterior.schedule, times, self.eta))
        bar = tqdm(
            total=len(noise) * len(times),
            disable=not progress,
            desc="sampling",
            unit="eval",
            leave=False,
        )
        told = _Told(posterior, self.twist, num_samples, batch_size or max(len(noise), 1), bar)

        system = _System(told.owner, posterior.device)
        particles = stops(posterior.take(told.owner.flatten()), noise, times, self.eta, told)
        stop, before = (
            next(particles),
            torch.zeros((), dtype=torch.float64, device=posterior.device),
        )
        while True:
            log_psi, where = (
                stop.said.log_psi,
                f"step {stop.index + 1} of {len(times)} (t = {stop.t.item():.4g})",
            )
            ratio = 0.0 if stop.move is None else stop.move.log_ratio(stop.x_t).double()
            system.add(ratio + log_psi - before, where)
            if on_step is not None and stop.index:
                on_step(State(stop.x_t, stop.t, stop.index))
            if stop.index + 1 == len(times):
                break
            index = system.resample(self.threshold * num_samples, choice.uniform(stop.index + 1))
            before, stop = log_psi[index], particles.send(index)
        system.add(told.log_likelihood(stop.said.x_0_hat) - log_psi, "the last step (t = 0)")
        bar.close()
        return system.result(stop.said.x_0_hat)


@final
class ResampledSMC(Sampling):
    """Samples of equal weight from `TwistedSMC`, to stand beside those of other samplers.

    `particles` for each observation, of which as many as are asked for are chosen in proportion to
    their weights: where few carry the weight, samples repeat. What is known of the weights comes
    with them (`WeightedSamples.card`). Raises `InvalidInput` for fewer than two particles.
    """

    def __init__(self, smc: TwistedSMC, particles: int) -> None:
        self.smc, self.particles = smc, particle_count("particles", particles)

    def draw(
        self,
        prior: Prior,
        num_samples: int,
        *,
        observation: Observation | None = None,
        h_transform: HTransform | None = None,
        seed: Seed = 0,
        batch_size: int | None = None,
        on_step: Watch | None = None,
    ) -> Draws:
        prior = conditioned(prior, observation, h_transform)
        num_samples, seeds = (
            sample_count(num_samples),
            observation_seeds(seed, prior.num_observations),
        )
        weighted = self.smc(
            prior, self.particles, seed=seeds, batch_size=batch_size, on_step=on_step
        )
        return Draws(weighted.resample(num_samples, seed=seeds), tuple(weighted.card()))

    def check(
        self,
        prior: Prior,
        observation: Observation | None = None,
        h_transform: HTransform | None = None,
    ) -> None:
        self.smc.check(conditioned(prior, observation, h_transform))

    def signals(self, num_samples: int) -> int:
        return self.particles


def particle_count(what: str, value: int) -> int:
    """The number of particles. Raises `InvalidInput` below two."""
    return checks.whole(what, value, least=2, meaning="at least two particles of a system")


@final
@dataclass(frozen=True)
class _Particles:
    """What is said at the places of all particles: the prior's x_0_hat, the shift, and log psi of
    the twist.
    """

    x_0_hat: Signal
    shift: Signal
    log_psi: Tensor

    def take(self, index: Tensor) -> _Particles:
        return _Particles(self.x_0_hat[index], self.shift[index], self.log_psi[index])


@final
class _Told:
    """What the prior, the h-transform and the twist say of all particles, `size` of them at a
    time.
    """

    def __init__(
        self, posterior: Posterior, twist: Potential, num_samples: int, size: int, bar: tqdm
    ) -> None:
        self.owner = torch.arange(len(posterior.observation))[:, None].expand(-1, num_samples)
        self.posterior, self.twist, self.size, self.bar = posterior, twist, size, bar

    def __call__(self, x_t: Signal, t: Times) -> _Particles:
        """x_0_hat of the prior, the shift, and log psi, from one evaluation of the prior."""
        parts = []
        for x, owner in zip(x_t.split(self.size), self.owner.flatten().split(self.size)):
            with room_for_batch(len(x)):
                posterior = self.posterior.take(owner)
                denoised, shift = posterior.parts(x, t)
                parts.append(
                    (
                        denoised.x_0_hat,
                        shift,
                        self.twist.log_h(denoised, posterior.observation).double(),
                    )
                )
            self.bar.update(len(x))
        estimates, shifts, twists = zip(*parts)
        return _Particles(torch.cat(estimates), torch.cat(shifts), torch.cat(twists))

    def log_likelihood(self, x_0: Signal) -> Tensor:
        """log p(y | x_0)."""
        observation = self.posterior.observation
        return torch.cat(
            [
                observation.likelihood.take(owner)
                .log_prob(x, observation.y[owner.to(x.device)])
                .double()
                for x, owner in zip(x_0.split(self.size), self.owner.flatten().split(self.size))
            ]
        )


@final
class _System:
    """The weights of all particles, where each came from, and the evidence so far."""

    def __init__(self, owner: Tensor, device: torch.device) -> None:
        n, num_samples = owner.shape
        self.owner = owner
        self.log_w = torch.zeros(n, num_samples, dtype=torch.float64, device=device)
        self.log_z = torch.zeros(n, dtype=torch.float64, device=device)
        self.slots = torch.arange(num_samples, device=device).expand(n, -1)
        self.ancestors, self.resampled = (
            self.slots,
            torch.zeros(n, dtype=torch.int64, device=device),
        )
        self.ess: list[Tensor] = []

    def add(self, log_weights: Tensor, where: str) -> None:
        """Multiply the weights."""
        check_finite(log_weights, self.owner.flatten(), where)
        self.log_w = self.log_w + log_weights.reshape(self.log_w.shape)
        self.ess.append(effective_sample_size(self.log_w))

    def resample(self, fewest: float, u: Tensor) -> Tensor:
        """Where the ESS is below `fewest`, choose the survivors; which particle takes which place,
        for all of them.
        """
        low = self.ess[-1] < fewest
        chosen = torch.where(low[:, None], systematic(self.log_w, u.to(self.log_w)), self.slots)
        total = self.log_w.logsumexp(1) - math.log(self.log_w.shape[1])
        self.log_z = torch.where(low, self.log_z + total, self.log_z)
        self.log_w = torch.where(low[:, None], torch.zeros_like(self.log_w), self.log_w)
        self.ancestors, self.resampled = self.ancestors.gather(1, chosen), self.resampled + low
        return (
            chosen + len(self.slots[0]) * torch.arange(len(low), device=low.device)[:, None]
        ).flatten()

    def result(self, x_0: Signal) -> WeightedSamples:
        """What is left, with log p(y) and its standard error."""
        log_evidence = self.log_z + self.log_w.logsumexp(1) - math.log(self.log_w.shape[1])
        error = relative_variance(self.log_w, self.ancestors).sqrt()
        samples = x_0.unflatten(0, self.log_w.shape)
        return WeightedSamples(
            samples, self.log_w, log_evidence, error, torch.stack(self.ess, dim=1), self.resampled
        )
