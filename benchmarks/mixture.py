"""How far from the exact posterior: samplers and h-transforms on Gaussian mixtures, for which everything is known.

    python benchmarks/mixture.py --out benchmarks/results/mixture [--dims 8 80 800] [--measurements 1 2 4] [--seeds 3] [--problems 20]

The setting of Monte Carlo guided diffusion (Cardoso et al. 2023, arXiv:2308.07983): 25 components at (8 i, 8 j, 8 i, 8 j, ...), i, j in -2 ... 2, of unit covariance, with
random weights that are fixed per dimension; A with random singular vectors and singular values uniform in [0, 1], sigma_y uniform up to the largest of them, y drawn from the model. The
mixture is centred and scaled to unit variance, and the schedule's last alpha is so small that alpha_1 max |mu| <= 0.1: otherwise the sampler starts from a law that is not the prior's.

Measured is the sliced Wasserstein distance of 1,000 samples to 1,000 exact posterior draws, beside the floor, the same between two sets of exact draws; reported are medians over
problems, and their ratio. One file of results per cell, kept after every problem; the same command goes on from where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
from torch import Tensor

from deft.data.files import atomic
from deft.htransforms.exact import Exact
from deft.likelihoods import GaussianLikelihood, Observation
from deft.metrics.distribution import sliced_wasserstein
from deft.noise import Noise
from deft.operators.matrix import Matrix
from deft.priors.base import Prior
from deft.priors.gaussian_mixture import GaussianMixture
from deft.reports import provenance
from deft.reports.chart import Series, as_file, line_chart
from deft.samplers.base import Sampler, UniformLogSNR
from deft.samplers.ddim import DDIM
from deft.samplers.dpm_solver import DPMSolver
from deft.samplers.heun import Heun
from deft.schedules import VPCosine
from deft.types import Signal, Times

DOUBLE = torch.float64
BUDGETS = (20, 50, 100, 200, 400, 800)
HIGH = 12.0  # the last log-SNR that is asked for: what is left there is 0.03 of a component's standard deviation


@final
@dataclass(frozen=True)
class Cell:
    """A dimension, a number of measurements and a seed: a mixture and its problems."""

    d: int
    d_y: int
    seed: int

    def prior(self) -> GaussianMixture:
        """The standardised mixture, under a schedule that ends at alpha_1 max |mu| = 0.1."""
        grid = torch.tensor([(8.0 * i, 8.0 * j) for i in range(-2, 3) for j in range(-2, 3)], dtype=DOUBLE)
        means = grid.repeat(1, (self.d + 1) // 2)[:, : self.d]
        weights = torch.rand(25, generator=torch.Generator().manual_seed(self.d), dtype=DOUBLE)
        weights = weights / weights.sum()
        centre = (weights[:, None] * means).sum(0)
        scale = float((1 + (weights[:, None] * (means - centre) ** 2).sum(0).mean()).sqrt())
        means = (means - centre) / scale
        alpha_1 = 0.1 / float(means.norm(dim=1).max())
        schedule = VPCosine(math.log(alpha_1**2 / (1 - alpha_1**2)), 15.0)
        return GaussianMixture(means, torch.full((25,), scale**-2, dtype=DOUBLE), weights, schedule)

    def observation(self, prior: GaussianMixture, problem: int) -> Observation:
        """One measurement of one draw."""
        noise = Noise([1000 * self.seed + problem], dtype=DOUBLE).stream(self.d).stream(self.d_y)
        left = torch.linalg.qr(noise.normal(0, (self.d_y, self.d_y)))[0]
        right = torch.linalg.qr(noise.normal(1, (self.d, self.d_y)))[0]
        singular = noise.uniform(2, (self.d_y,))
        sigma_y = noise.uniform(3) * singular.amax(1) * float(prior.variances[0, 0, 0].sqrt())  # in the units of the standardised signal
        likelihood = GaussianLikelihood(Matrix(left @ (singular[..., None] * right.mT)), sigma_y)
        return Observation(likelihood.sample(prior.sample(noise.stream(4)), noise.stream(5)), likelihood)

    @property
    def name(self) -> str:
        return f"d{self.d}-dy{self.d_y}-seed{self.seed}"


@final
class Conditioned(Prior):
    """What `Posterior(prior, Exact(prior), observation)` is, with the posterior mixture worked out once; it starts from N(0, I), as one does in practice."""

    def __init__(self, posterior: GaussianMixture) -> None:
        super().__init__()
        self.posterior = posterior
        self.schedule, self.event_shape, self.value_range, self.scale = posterior.schedule, posterior.event_shape, None, posterior.scale

    def denoise(self, x_t: Signal, t: Times) -> Signal:
        return self.posterior.denoise(x_t, t)

    def initial(self, noise: Noise) -> Signal:
        return float(self.schedule.sigma(torch.ones(1, dtype=DOUBLE))) * noise.normal(0, self.event_shape)


def samplers() -> dict[str, dict[int, Sampler]]:
    """By family, then by evaluations per sample."""
    grid = UniformLogSNR(HIGH)
    return {
        "DDIM, eta = 1": {n: DDIM(n, eta=1.0, grid=grid) for n in BUDGETS},
        "DDIM, eta = 0": {n: DDIM(n, eta=0.0, grid=grid) for n in BUDGETS},
        "DPM-Solver++ 2M": {n: DPMSolver(n, grid=grid) for n in BUDGETS},
        "Heun": {n: Heun((n + 1) // 2, grid=grid) for n in BUDGETS},
    }


def distance(samples: Tensor, exact: Tensor, prior: GaussianMixture) -> float:
    """In units of a component's standard deviation."""
    return sliced_wasserstein(samples, exact) / float(prior.variances[0, 0, 0].sqrt())


def measure(cell: Cell, problems: int, count: int, file: Path) -> dict[str, list[float]]:
    """Distances of every sampler with the exact h-transform, one per problem."""
    kept: dict[str, list[float]] = json.loads(file.read_text())["distances"] if file.exists() else {}
    prior = cell.prior()
    for problem in range(min(map(len, kept.values()), default=0), problems):
        observation = cell.observation(prior, problem)
        posterior = Exact(prior).posterior(observation)
        seeds = Noise([10_000 * problem + i for i in range(2 * count)], dtype=DOUBLE)
        exact = posterior.sample(seeds)
        row = {"floor": distance(exact[:count], exact[count:], prior)}
        for family, by in samplers().items():
            for n, sampler in by.items():
                samples = sampler(Conditioned(posterior), count, seed=problem, batch_size=count)[0]
                row[f"{family} ({n})"] = distance(samples, exact[:count], prior)
        for key, value in row.items():
            kept.setdefault(key, []).append(value)
        card = {"cell": cell.name, "samples": count, "commit": provenance.commit(), "machine": provenance.machine("cpu")}
        with atomic(file) as stream:
            stream.write((json.dumps(card | {"distances": kept}, indent=1) + "\n").encode())
        print(cell.name, problem, f"floor {row['floor']:.3f}", " ".join(f"{k} {v:.3f}" for k, v in row.items() if "(100)" in k), flush=True)
    return kept


def main() -> None:
    """Run the cells, then print ratios of medians and draw them against the number of steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--dims", type=int, nargs="*", default=[8, 80, 800])
    parser.add_argument("--measurements", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--problems", type=int, default=20)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for d in args.dims:
        for d_y in args.measurements:
            together: dict[str, list[float]] = {}
            for seed in range(args.seeds):
                cell = Cell(d, d_y, seed)
                for key, values in measure(cell, args.problems, args.samples, args.out / f"{cell.name}.json").items():
                    together.setdefault(key, []).extend(values)
            medians = {key: statistics.median(values) for key, values in together.items()}
            series = []
            for family, by in samplers().items():
                ratios = [medians[f"{family} ({n})"] / medians["floor"] for n in by]
                series.append(Series(family, [*by], ratios))
                print(f"d = {d}, d_y = {d_y}, {family}:", " ".join(f"{n}: {ratio:.2f}" for n, ratio in zip(by, ratios)), flush=True)
            chart = line_chart(
                series, "prior evaluations per sample", "distance / floor", log_x=True, log_y=True, title=f"d = {d}, d_y = {d_y}, exact h"
            )
            (args.out / f"exact-d{d}-dy{d_y}.svg").write_text(as_file(chart))


if __name__ == "__main__":
    main()
