"""A Gaussian chain with a motif in a fixed frame, for which everything is known: the bed on which
methods for proteins are measured.

Chains of 64 residues with the covariance of natives (`GaussianChain`); residues 20 to 34 are seen,
counted from 0, with sigma_y = 0.1 A. The truths are draws of the prior. What is measured is the
error of the mean of a method's samples over the other residues, the scaffold,

    error^2 = (1 / scaffold residues) sum_i |mean_i - E[r_i | y]|^2     in angstrom, per residue

which n exact samples leave at floor^2 = (1 / scaffold residues) sum_i 3 S'_ii / n, with S' the
exact posterior covariance. What a method errs beside chance is bias^2 = error^2 - its own variance
/ n.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from deft.htransforms.applies import linear_gaussian
from deft.htransforms.base import HTransform
from deft.htransforms.exact_chain import ExactChain
from deft.htransforms.gaussian_potential import GaussianPotential
from deft.likelihoods import Observation
from deft.networks import MLP
from deft.noise import Noise
from deft.operators.motif import Motif
from deft.posterior import Posterior
from deft.priors.chain_law import ChainLaw
from deft.priors.denoised import Denoised
from deft.priors.gaussian_chain import GaussianChain
from deft.problems.own import Fixed
from deft.samplers.ddim import DDIM
from deft.samplers.grids import UniformLogSNR
from deft.samplers.smc import TwistedSMC
from deft.training.batch import Batch
from deft.training.denoising import DenoisingScoreMatching, TimeLaw
from deft.training.loop import train
from deft.training.sources import Source
from deft.types import Signal, expand

GRID = UniformLogSNR(high=9.0, low=-12.0)  # from noise of 400 A to noise of 0.01 A
ITEMS = 1 << 20


@final
@dataclass(frozen=True)
class Bed:
    """Chains of `length` residues, of which `rows` from `first` on are seen."""

    length: int = 64
    first: int = 20
    rows: int = 15
    sigma_y: float = 0.1

    @property
    def prior(self) -> GaussianChain:
        return GaussianChain(self.length)

    @property
    def problem(self) -> Fixed:
        """The same residues of every chain."""
        index = torch.arange(self.first, self.first + self.rows)[None]
        return Fixed(Motif(index, None, self.length, "fixed"), self.sigma_y)

    def observations(self, problems: Sequence[int]) -> Observation:
        """What is seen of draws of the prior, one for each number."""
        noise = Noise([7_000 + k for k in problems])
        return self.problem.draw(self.prior.sample(noise), noise.stream(3))

    def scaffold(self) -> Tensor:
        """Which residues are not of the motif."""
        places = torch.arange(self.length)
        return (places < self.first) | (places >= self.first + self.rows)


@final
@dataclass(frozen=True)
class Judged:
    """Numbers over problems, in angstrom per residue, but `spread`, a ratio of variances."""

    error: float
    floor: float
    bias: float
    motif: float
    spread: float


def judged(
    bed: Bed, law: ChainLaw, y: Tensor, means: Tensor, variances: Tensor, motif: Tensor, n: int
) -> Judged:
    """Of the mean and the variance of `n` samples of each problem, (problems, residues, 3), and
    the squared distance of their motif from y.
    """
    scaffold = bed.scaffold()
    exact = 3 * law.covariance.diagonal(dim1=1, dim2=2)[:, scaffold].mean()
    error = (means.double() - law.mean)[:, scaffold].square().sum(2).mean()
    own = variances.double()[:, scaffold].sum(2).mean()
    return Judged(
        error=float(error.sqrt()),
        floor=float((exact / n).sqrt()),
        bias=float((error - own / n).clamp(min=0).sqrt()),
        motif=float(motif.mean().sqrt()),
        spread=float(own / exact),
    )


def judge(bed: Bed, observation: Observation, x: Tensor) -> Judged:
    """Of samples (problems, n, residues, 3)."""
    law = ExactChain(bed.prior).posterior(observation)
    seen = x[:, :, bed.first : bed.first + bed.rows]
    motif = (seen - observation.y[:, None]).square().sum(3)
    return judged(bed, law, observation.y, x.mean(1), x.var(1), motif, x.shape[1])


def judge_twisted(
    bed: Bed, observation: Observation, particles: int, systems: int, steps: int, seed: int = 0
) -> Judged:
    """Of `systems` independent runs of twisted SMC for each problem, each of so many particles:
    the means of the systems are its samples. One particle is the proposal alone.
    """
    prior = bed.prior
    guidance = GaussianPotential.for_prior(prior)
    repeated = observation.repeat(systems)
    posterior = Posterior(prior, guidance, repeated)
    if particles == 1:
        found = DDIM(steps, eta=1.0, grid=GRID)(posterior, 1, seed=seed)
        means = found[:, 0]
        motif = (bed.problem.operator(means, Noise([0]))(means) - repeated.y).square().sum(2)
    else:
        smc = TwistedSMC(guidance, steps, grid=GRID)
        weighed = smc(posterior, particles, seed=seed, batch_size=4096)
        means = weighed.mean()
        seen = weighed.x_0[:, :, bed.first : bed.first + bed.rows]
        distance = (seen - repeated.y[:, None]).square().sum(3).mean(2)
        motif = (weighed.weights.to(distance) * distance).sum(1)
    each = means.unflatten(0, (len(observation), systems))
    law = ExactChain(prior).posterior(observation)
    return judged(bed, law, observation.y, each.mean(1), each.var(1), motif, systems)


@final
class ResidualMap(HTransform):
    """A learned h for one motif: a matrix over residues for each noise level, the same for x, y and
    z, which is what a Gaussian chain needs.

        shift = r_t (M(log-SNR_t) A + NN2(log-SNR_t)) r_t g

    M is (residues, rows of the motif), the output of a small network that starts at 0; r_t g is the
    guidance of `LearnedHTransform`. It turns with the motif, and never differentiates the prior.
    """

    event_axes = "cloud"

    def __init__(self, residues: int, rows: int, scale: float, width: int = 64) -> None:
        super().__init__()
        self.residues, self.rows, self.scale = residues, rows, scale
        self.matrix = MLP(1, residues * rows, width=width)
        self.weight = MLP(1, 1, width=32, bias=1.0)

    def shift(self, denoised: Denoised, observation: Observation) -> Signal:
        operator = linear_gaussian(observation, self)
        x_0_hat, r_t = denoised.x_0_hat, denoised.spread(self.scale)
        level = denoised.log_snr.expand(len(x_0_hat))[:, None]
        guidance = observation.likelihood.guidance(x_0_hat, r_t.flatten(), observation.y)
        matrix = self.matrix(level).unflatten(1, (self.residues, self.rows))
        own = expand(self.weight(level)[:, 0], guidance) * guidance
        return r_t * (matrix @ operator.linear(guidance) + own)


@final
class Fresh(Source):
    """Draws of the chain: item i is the draw with the seed of its place in the run."""

    def __init__(self, prior: GaussianChain) -> None:
        self.prior = prior

    def __len__(self) -> int:
        return ITEMS

    def batch(self, index: Sequence[int], noise: Noise) -> Batch:
        return Batch(self.prior.sample(noise.stream(1)), noise.stream(2))


def learned(bed: Bed, steps: int, batch_size: int = 128) -> tuple[ResidualMap, dict[str, float]]:
    """A trained h, and what it took."""
    prior = bed.prior
    torch.manual_seed(0)
    h = ResidualMap(bed.length, bed.rows, prior.scale)
    objective = DenoisingScoreMatching(
        bed.problem, times=TimeLaw(mean=-2.0, std=4.0, uniform=0.5, low=-12.0, high=9.0)
    )
    began = time.process_time()
    train(
        h,
        prior,
        objective,
        Fresh(prior),
        steps=steps,
        batch_size=batch_size,
        learning_rate=5e-3,
        ema=1 - 5 / steps,
        progress=False,
    )
    facts = {
        "steps": steps,
        "signals": steps * batch_size,
        "cpu_seconds": round(time.process_time() - began, 1),
        "parameters": h.num_parameters,
    }
    return h.eval().requires_grad_(False), facts


def combined(parts: Sequence[float]) -> float:
    """The root of the mean of squares."""
    return math.sqrt(math.fsum(part**2 for part in parts) / len(parts))
