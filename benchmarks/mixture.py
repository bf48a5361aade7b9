"""How far from the exact posterior: samplers with the exact h-transform of a Gaussian mixture,
against the number of steps.

    python benchmarks/mixture.py --out benchmarks/results/mixture [--dims 8 80 800] \\
        [--measurements 1 2 4] [--seeds 3] [--problems 20]
    python benchmarks/mixture.py --evidence --dims 8 80 --seeds 1 --out benchmarks/results/mixture

The setting is benchmarks/mixture_setting.py. Measured is the sliced Wasserstein distance of 1,000
samples to 1,000 exact posterior draws, beside the floor, the same between two sets of exact draws
(the median of 20 pairs); reported are medians over problems, and their ratio. `--evidence` measures
what the path weights of 1,000 particles with the exact h and 800 steps say of log p(y).

One file of results per cell, kept after every problem; the same command goes on where it was
stopped, and draws the figures anew.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import final

import torch
from mixture_setting import DOUBLE, HIGH, Cell, distance
from torch import Tensor

from deft.htransforms.base import HTransform
from deft.htransforms.exact import Exact
from deft.htransforms.gaussian_potential import GaussianPotential
from deft.likelihoods import Observation
from deft.noise import Noise, mix
from deft.posterior import Posterior
from deft.priors.base import Prior
from deft.priors.denoised import Denoised
from deft.priors.gaussian_mixture import GaussianMixture
from deft.reports.chart import Series, as_file, line_chart
from deft.samplers.base import Sampler
from deft.samplers.ddim import DDIM
from deft.samplers.dpm_solver import DPMSolver
from deft.samplers.grids import UniformLogSNR
from deft.samplers.heun import Heun
from deft.samplers.smc import TwistedSMC
from deft.storage import provenance
from deft.storage.atomic import atomic
from deft.types import Signal, Times

Columns = dict[str, list[float]]
PAIRS = 20  # of exact draws: one pair is as random as what it is to measure
AIMED = {"DDIM, eta = 1": 800, "DDIM, eta = 0": 800, "DPM-Solver++ 2M": 200, "Heun": 200}
FIRST_ORDER, SECOND_ORDER = (20, 50, 100, 200, 400, 800), (20, 50, 100, 200, 400)


@final
class ManyDraws(Prior):
    """The exact posterior, in the axes of its covariance, as a prior whose one signal holds `count`
    independent draws: (count, d).

    It is what `Posterior(prior, Exact(prior), observation)` is, with the posterior worked out once
    and all noise drawn at once, which is most of the time otherwise. It starts from N(0, I), as one
    does in practice. Neither the samplers nor the distance know directions. In single precision,
    which errs by less than 1e-4 of a component's standard deviation.
    """

    def __init__(self, posterior: GaussianMixture, count: int) -> None:
        super().__init__()
        assert posterior.axes is not None
        self.schedule, self.event_shape, self.scale = (
            posterior.schedule,
            (count, *posterior.event_shape),
            posterior.scale,
        )
        self.register_buffer("means", (posterior.means[0] @ posterior.axes[0, 0]).float())
        self.register_buffer("variances", posterior.variances[0, 0].float())
        self.register_buffer("log_weights", posterior.log_weights[0].float())

    def denoise(self, x_t: Signal, t: Times) -> Signal:
        alpha_t, sigma_t = self.schedule.alpha(t).to(x_t), self.schedule.sigma(t).to(x_t)
        total = alpha_t**2 * self.variances + sigma_t**2
        scaled = alpha_t / total * self.means
        constant = self.log_weights - 0.5 * alpha_t * (scaled * self.means).sum(1)
        mean = torch.addmm(constant, x_t[0], scaled.mT).softmax(1) @ self.means
        return torch.addcmul(mean * (sigma_t**2 / total), x_t[0], alpha_t * self.variances / total)[
            None
        ]

    def initial(self, noise: Noise) -> Signal:
        return float(self.schedule.sigma(torch.ones(1, dtype=DOUBLE))) * noise.normal(
            0, self.event_shape
        )

    def exact(self, seed: int) -> Tensor:
        """As many exact draws."""
        generator = torch.Generator().manual_seed(mix(seed, 0))
        k = torch.multinomial(
            self.log_weights.exp(), self.event_shape[0], replacement=True, generator=generator
        )
        return self.means[k] + self.variances.sqrt() * torch.randn(
            self.event_shape, generator=generator
        )


@final
class Known(HTransform):
    """The exact h-transform of one observation, its posterior worked out once."""

    def __init__(self, posterior: GaussianMixture) -> None:
        super().__init__()
        self.posterior = posterior

    def shift(self, denoised: Denoised, observation: Observation) -> Signal:
        return self.posterior.denoise(denoised.x_t, denoised.t) - denoised.x_0_hat


def samplers() -> dict[str, dict[int, Sampler]]:
    """By family, then by evaluations per sample."""
    grid = UniformLogSNR(HIGH)
    return {
        "DDIM, eta = 1": {n: DDIM(n, eta=1.0, grid=grid) for n in FIRST_ORDER},
        "DDIM, eta = 0": {n: DDIM(n, eta=0.0, grid=grid) for n in FIRST_ORDER},
        "DPM-Solver++ 2M": {n: DPMSolver(n, grid=grid) for n in SECOND_ORDER},
        "Heun": {n: Heun((n + 1) // 2, grid=grid) for n in SECOND_ORDER},
    }


def floors(cell: Cell, problems: range, count: int) -> Iterator[dict[str, float]]:
    """The median distance between two sets of exact draws, problem by problem."""
    prior = cell.prior()
    for problem in problems:
        draws = ManyDraws(Exact(prior).posterior(cell.observation(prior, problem)), count)
        pairs = [
            (draws.exact(mix(problem, 2, k)), draws.exact(mix(problem, 3, k))) for k in range(PAIRS)
        ]
        yield {"floor": statistics.median(distance(*pair, prior) for pair in pairs)}


def distances(cell: Cell, problems: range, count: int) -> Iterator[dict[str, float]]:
    """Of every sampler with the exact h-transform, problem by problem."""
    prior = cell.prior()
    for problem in problems:
        draws = ManyDraws(Exact(prior).posterior(cell.observation(prior, problem)), count)
        exact = draws.exact(2 * problem)
        row: dict[str, float] = {}
        for family, by in samplers().items():
            for n, sampler in by.items():
                row[f"{family} ({n})"] = distance(sampler(draws, seed=problem)[0, 0], exact, prior)
        yield row


def evidence(
    cell: Cell, problems: range, count: int, steps: int = 800
) -> Iterator[dict[str, float]]:
    """The error in log p(y) and the share of particles that carry the weight, problem by
    problem.
    """
    prior = cell.prior()
    for problem in problems:
        observation, exact = cell.observation(prior, problem), Exact(prior)
        posterior = Posterior(prior, Known(exact.posterior(observation)), observation)
        smc = TwistedSMC(
            GaussianPotential.for_prior(prior), steps, threshold=0.0, grid=UniformLogSNR(HIGH)
        )
        weighted = smc(posterior, count, seed=problem)
        error = float(weighted.log_evidence[0] - exact.evidence(observation)[0])
        yield {
            "error": error,
            "standard error": float(weighted.standard_error[0]),
            "ESS/N": float(weighted.effective_sample_size[0]) / count,
        }


def kept(
    measure: Callable[[Cell, range, int], Iterator[dict[str, float]]],
    cell: Cell,
    problems: int,
    count: int,
    out: Path,
) -> Columns:
    """The columns of a cell, from the file of the measure or measured, and written after each
    problem.
    """
    file = out / f"{NAMES[measure]}-{cell.name}.json"
    columns: Columns = json.loads(file.read_text())["columns"] if file.exists() else {}
    for row in measure(cell, range(min(map(len, columns.values()), default=0), problems), count):
        for key, value in row.items():
            columns.setdefault(key, []).append(float(f"{value:.4g}"))
        facts = {
            "cell": cell.name,
            "samples": count,
            "commit": provenance.commit(),
            "machine": provenance.machine("cpu"),
        }
        with atomic(file) as stream:
            stream.write(
                (
                    json.dumps({**facts, "columns": columns}, indent=1).replace(",\n   ", ",")
                    + "\n"
                ).encode()
            )
    return {key: values[:problems] for key, values in columns.items()}


NAMES: dict[Callable[[Cell, range, int], Iterator[dict[str, float]]], str] = {
    floors: "floor",
    distances: "exact",
    evidence: "evidence",
}


def figure(d: int, d_y: int, medians: Mapping[str, float]) -> str:
    """Distance over floor against prior evaluations."""
    series = [
        Series(family, [*by], [medians[f"{family} ({n})"] / medians["floor"] for n in by])
        for family, by in samplers().items()
    ]
    title = f"d = {d}, d_y = {d_y}, exact h"
    return as_file(
        line_chart(
            series,
            "prior evaluations per sample",
            "distance / floor",
            log_x=True,
            log_y=True,
            title=title,
        )
    )


def interval(over: list[float], under: list[float], draws: int = 1000) -> tuple[float, float]:
    """95 % of the ratio of medians, by bootstrap over problems."""
    places = torch.randint(
        len(over), (draws, len(over)), generator=torch.Generator().manual_seed(0)
    )
    middle = [
        torch.tensor(values, dtype=DOUBLE)[places].quantile(0.5, dim=1) for values in (over, under)
    ]
    low, high = (
        (middle[0] / middle[1]).quantile(torch.tensor([0.025, 0.975], dtype=DOUBLE)).tolist()
    )
    return low, high


def main() -> None:
    """Run the cells, then print medians, and draw their ratio to the floor against the number of
    steps.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--dims", type=int, nargs="*", default=[8, 80, 800])
    parser.add_argument("--measurements", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--problems", type=int, default=20)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--evidence", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for d in args.dims:
        for d_y in args.measurements:
            together: Columns = {}
            for seed, measure in itertools.product(
                range(args.seeds), (evidence,) if args.evidence else (floors, distances)
            ):
                for key, values in kept(
                    measure, Cell(d, d_y, seed), args.problems, args.samples, args.out
                ).items():
                    together.setdefault(key, []).extend(values)
            if args.evidence:
                errors = [abs(e) for e in together["error"]]
                print(
                    f"d = {d}, d_y = {d_y}: median |error| {statistics.median(errors):.3f}, "
                    f"largest {max(errors):.3f},",
                    f"within 0.05: {sum(e <= 0.05 for e in errors)} of {len(errors)}, median "
                    f"ESS/N {statistics.median(together['ESS/N']):.3f}",
                    flush=True,
                )
                continue
            medians = {key: statistics.median(values) for key, values in together.items()}
            for family, by in samplers().items():
                ratios = (f"{n}: {medians[f'{family} ({n})'] / medians['floor']:.2f}" for n in by)
                low, high = interval(together[f"{family} ({AIMED[family]})"], together["floor"])
                print(
                    f"d = {d}, d_y = {d_y}, {family}:",
                    *ratios,
                    f"  at {AIMED[family]}, 95 %: {low:.2f} to {high:.2f}",
                    flush=True,
                )
            (args.out / f"exact-d{d}-dy{d_y}.svg").write_text(figure(d, d_y, medians))


if __name__ == "__main__":
    main()
