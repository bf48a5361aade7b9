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

from typing import final

import torch
from tqdm.auto import tqdm

from deft import checks
from deft.errors import InvalidInput
from deft.htransforms.base import HTransform, Potential
from deft.likelihoods import Observation
from deft.noise import Noise
from deft.posterior import Posterior
from deft.priors.base import Prior
from deft.samplers.arguments import Seed, at_least_one, at_most, observation_seeds, sample_count
from deft.samplers.base import Draws, Sampling, Watch, conditioned
from deft.samplers.grids import TimeGrid, UniformLogSNR
from deft.samplers.particles import System, Told
from deft.samplers.weights import WeightedSamples, has_density, weighable
from deft.steps import State, stops
from deft.transitions import Steps

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
        told = Told(posterior, self.twist, num_samples, batch_size or max(len(noise), 1), bar)

        system = System(told.owner, posterior.device)
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
        return system.result(stop.said.x_0_hat, posterior.observation.operator.density)


@final
class ResampledSMC(Sampling):
    """Samples of equal weight from `TwistedSMC`, to stand beside those of other samplers.

    `particles` for each observation, of which as many as are asked for are chosen in proportion to
    their weights: where few carry the weight, samples repeat. What is known of the weights comes
    with them (`WeightedSamples.card`). Raises `InvalidInput` for fewer than two particles.
    """

    asks_twice = True

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
