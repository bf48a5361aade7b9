"""A learned h-transform against every other method, on Gaussian mixtures, where the exact posterior
is known.

    python benchmarks/mixture_learned.py --out benchmarks/results/mixture --h FOLDER \\
        [--dims 8 80] [--measurements 1 2 4] [--problems 20]

One h-transform per (d, d_y) is trained on pairs (x_0, y) of all problems
(benchmarks/mixture_setting.py: A, sigma_y and y are random) and serves the 20 problems of the cell.
All methods take 100 evaluations of the prior on one grid, uniform in log-SNR, unless their own
schedule is part of them (DAPS, RED-diff). Those with a free step size have it tuned on three
further problems by the sum of the distances. Measured is the sliced Wasserstein distance to exact
draws, the same number of them, in units of a component's standard deviation; `weights` are the same
samples under their path weights (`TwistedSMC` that never resamples). Medians over problems are
printed.

A file per cell is kept after every problem; what it holds is not measured again, so that methods
and problems can be added; a method whose grid has changed is tuned and measured anew.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import final

import torch
from mixture import Known
from mixture_setting import HIGH, Cell, distance

from deft.errors import DeftError
from deft.htransforms.base import HTransform, NoConditioning
from deft.htransforms.ddnm import DDNM
from deft.htransforms.dps import DPS
from deft.htransforms.exact import Exact
from deft.htransforms.flat import FlatHTransform
from deft.htransforms.gaussian_potential import GaussianPotential
from deft.htransforms.lgd import LGD
from deft.htransforms.mcg import MCG
from deft.htransforms.mmps import MMPS
from deft.htransforms.pigdm import PiGDM
from deft.htransforms.tmpd import TMPD
from deft.likelihoods import GaussianLikelihood, Observation
from deft.noise import Noise
from deft.posterior import Posterior
from deft.priors.gaussian_mixture import GaussianMixture
from deft.samplers.base import Sampler
from deft.samplers.daps import DAPS
from deft.samplers.ddim import DDIM
from deft.samplers.ddnm_plus import DDNMPlus
from deft.samplers.ddrm import DDRM
from deft.samplers.diffpir import DiffPIR
from deft.samplers.grids import UniformLogSNR
from deft.samplers.red_diff import REDDiff
from deft.samplers.replacement import Replacement
from deft.samplers.smc import TwistedSMC
from deft.storage import provenance
from deft.storage.atomic import atomic
from deft.training import checkpoint
from deft.training.batch import Batch
from deft.training.denoising import DenoisingScoreMatching, TimeLaw
from deft.training.loop import train
from deft.training.sources import Source
from deft.types import Signal

STEPS = 100
GRID = UniformLogSNR(HIGH)
TUNED_ON = (100, 101, 102)  # problems that are not among those that are reported
ITEMS = 1 << 20
Method = tuple[HTransform, Sampler]
"""An h-transform and the sampler that it is used with."""


@final
class Fresh(Source):
    """Draws of the prior: item i is the draw with the seed of its place in the run."""

    def __init__(self, prior: GaussianMixture) -> None:
        self.prior = prior

    def __len__(self) -> int:
        return ITEMS

    def batch(self, index: Sequence[int], noise: Noise) -> Batch:
        return Batch(self.prior.sample(noise.stream(1)), noise.stream(2))


def trained(
    cell: Cell, prior: GaussianMixture, folder: Path, steps: int, plain: bool
) -> tuple[HTransform, dict[str, object]]:
    """The h-transform of a cell, and what its training took; from the folder if it is there."""
    file = folder / f"mixture-d{cell.d}-dy{cell.d_y}{'-plain' if plain else ''}.safetensors"
    if not file.exists():
        problem = cell.problem(prior)
        torch.manual_seed(0)
        if plain:
            h = FlatHTransform.for_prior(prior, width=256, depth=3, anchors=0)
        else:
            h = FlatHTransform.for_prior(
                prior, prior.sample(Noise(range(4096), dtype=prior.dtype)), depth=1
            )
        objective = DenoisingScoreMatching(problem, times=TimeLaw(-2.0, 2.0, 0.3, high=8.0))
        began = time.process_time()
        result = train(
            h,
            prior,
            objective,
            Fresh(prior),
            steps=steps,
            batch_size=256,
            learning_rate=4e-3 if not plain else 1e-3,
            progress=False,
        )
        facts = {
            **result.facts(),
            "cpu_seconds": round(time.process_time() - began),
            "parameters": h.num_parameters,
        }
        folder.mkdir(parents=True, exist_ok=True)
        checkpoint.save(file, h, prior, {"problem": problem.card(), "training": facts})
    found, card = checkpoint.load(file, prior)
    return found.eval().requires_grad_(False), dict(card["training"])  # type: ignore[call-overload]


def methods(
    prior: GaussianMixture, observation: Observation
) -> dict[str, tuple[Sequence[float], Callable[[float], Method]]]:
    """Every method that needs no training: the values of its parameter that are tried (one,
    where it has none), and how it is made.
    """
    none = NoConditioning()
    ancestral = DDIM(STEPS, eta=1.0, grid=GRID)
    zetas, one = (0.3, 1.0, 3.0, 10.0, 30.0), (1.0,)
    sigma_y = float(observation.sigma_y[0])
    found: dict[str, tuple[Sequence[float], Callable[[float], Method]]] = {
        "DPS": (zetas, lambda z: (DPS.published(z), ancestral)),
        "PiGDM": (one, lambda _: (PiGDM(prior.scale), ancestral)),
        "MCG": (zetas, lambda z: (MCG.published(z), ancestral)),
        "LGD": (zetas, lambda z: (LGD.published(z, scale=prior.scale), ancestral)),
        "TMPD": (one, lambda _: (TMPD(), ancestral)),
        "MMPS": (one, lambda _: (MMPS(observation.y.shape[1]), ancestral)),
        "DDNM": (one, lambda _: (DDNM(), DDIM(STEPS, eta=0.85, grid=GRID))),
        "DDNM+": (one, lambda _: (none, DDNMPlus(STEPS, grid=GRID))),
        "DDRM": (one, lambda _: (none, DDRM(STEPS, grid=GRID))),
        "DiffPIR": (
            (0.001, 0.01, 0.1, 1.0, 10.0),
            lambda w: (none, DiffPIR(STEPS, weight=w, zeta=1.0, grid=GRID)),
        ),
        "DAPS": (
            one,
            lambda _: (none, DAPS(STEPS // 5, 5, 20, step_size=sigma_y**2, noise_level=None)),
        ),
        "RED-diff": ((0.0025, 0.025, 0.25, 2.5), lambda w: (none, REDDiff(STEPS, weight=w))),
    }
    if observation.y.shape[1] == 1:  # an operator of one singular value
        found["Replacement"] = (one, lambda _: (none, Replacement(STEPS, resamplings=1, grid=GRID)))
    return found


def single(observation: Observation) -> Observation:
    """In single precision."""
    return Observation(
        observation.y.float(),
        GaussianLikelihood(observation.operator.float(), observation.sigma_y.float()),
    )


@final
class Bench:
    """A cell: its prior in both precisions and, problem by problem, the exact posterior."""

    def __init__(self, cell: Cell, count: int) -> None:
        self.cell, self.count, self.double, self.prior = (
            cell,
            count,
            cell.prior(),
            cell.prior().float(),
        )

    def start(self, problem: int) -> None:
        self.problem = problem
        observation = self.cell.observation(self.double, problem)
        self.posterior = Exact(self.double).posterior(observation)
        self.exact = self.posterior.sample(
            Noise([10_000 * problem + i for i in range(2 * self.count)], dtype=torch.float64)
        )
        self.observation = single(observation)

    def distance(self, samples: Signal) -> float:
        return distance(samples.double(), self.exact[: self.count], self.double)

    def sampled(self, method: Method) -> float:
        """The distance of a method's samples, infinite where it diverges."""
        h_transform, sampler = method
        try:
            x_0 = sampler.draw(
                self.prior,
                self.count,
                observation=self.observation,
                h_transform=h_transform,
                seed=self.problem,
            ).x_0[0]
        except DeftError:
            return math.inf
        return self.distance(x_0) if bool(x_0.isfinite().all()) else math.inf

    def particles(self, name: str, h_transform: HTransform, count: int) -> dict[str, float]:
        """One run of the ancestral sampler: the distance of its samples as they are and under
        their path weights, the error in log p(y), the share of particles that carry the
        weight.
        """
        smc = TwistedSMC(GaussianPotential.for_prior(self.prior), STEPS, threshold=0.0, grid=GRID)
        found = smc(Posterior(self.prior, h_transform, self.observation), count, seed=self.problem)
        truth = float(
            Exact(self.double).evidence(self.cell.observation(self.double, self.problem))[0]
        )
        return {
            name: self.distance(found.x_0[0, : self.count]),
            f"{name}, weights": self.distance(found.resample(self.count, seed=self.problem)[0]),
            f"{name}, evidence": abs(float(found.log_evidence[0]) - truth),
            f"{name}, ESS/N": float(found.effective_sample_size[0]) / count,
        }


def grids(cell: Cell) -> dict[str, list[float]]:
    """What is tried, by method."""
    prior = cell.prior()
    return {
        name: list(values)
        for name, (values, _) in methods(prior.float(), single(cell.observation(prior, 0))).items()
    }


def tuned(cell: Cell, names: Collection[str], samples: int = 250) -> dict[str, float]:
    """The free parameter of each of these methods."""
    bench, scores = Bench(cell, samples), {}
    for problem in TUNED_ON if names else ():
        bench.start(problem)
        for name, (values, make) in methods(bench.prior, bench.observation).items():
            for value in values if name in names else ():
                scores[name, value] = scores.get((name, value), 0.0) + (
                    bench.sampled(make(value)) if len(values) > 1 else 0.0
                )
    return {
        name: min(
            (value for key, value in scores if key == name), key=lambda value: scores[name, value]
        )
        for name in names
    }


def measure(
    bench: Bench,
    learned: Mapping[str, HTransform],
    particles: int,
    parameters: Mapping[str, float],
    done: Mapping[str, object],
) -> dict[str, float]:
    """Distances of everything that is not `done`, for one problem."""
    row = {} if "floor" in done else {"floor": bench.distance(bench.exact[bench.count :])}
    for name, h_transform in {"exact": Known(bench.posterior), **learned}.items():
        row |= {} if name in done else bench.particles(name, h_transform, particles)
    for name, (_, make) in methods(bench.prior, bench.observation).items() if parameters else ():
        row |= {} if name in done else {name: bench.sampled(make(parameters[name]))}
    return row


def run(
    cell: Cell,
    learned: Mapping[str, HTransform],
    facts: dict[str, object],
    args: argparse.Namespace,
    file: Path,
) -> dict[str, list[float]]:
    """Every column of a cell, by name; what the file holds already is not measured again."""
    found = json.loads(file.read_text()) if file.exists() else {}
    rows: dict[str, dict[str, float]] = found.get("problems", {})
    wanted, had = ({}, {}) if args.learned_only else (grids(cell), found.get("grids", {}))
    fresh = tuned(cell, [name for name in wanted if wanted[name] != had.get(name)])
    rows = {
        problem: {key: value for key, value in row.items() if key not in fresh}
        for problem, row in rows.items()
    }
    parameters = found.get("tuned", {}) | fresh
    bench = Bench(cell, args.samples)
    for problem in range(args.problems):
        bench.start(problem)
        row = measure(
            bench,
            learned,
            args.particles,
            {} if args.learned_only else parameters,
            rows.get(str(problem), {}),
        )
        if not row:
            continue
        rows[str(problem)] = rows.get(str(problem), {}) | {
            key: float(f"{value:.4g}") for key, value in row.items()
        }
        card = {
            "cell": cell.name,
            "samples": args.samples,
            "particles": args.particles,
            "tuned": parameters,
            "grids": had | wanted,
            **facts,
        }
        card |= {
            "commit": provenance.commit(),
            "machine": provenance.machine("cpu"),
            "problems": rows,
        }
        with atomic(file) as stream:
            stream.write((json.dumps(card, indent=1).replace(",\n   ", ",") + "\n").encode())
        print(cell.name, problem, *(f"{key} {value:.3g}" for key, value in row.items()), flush=True)
    names = dict.fromkeys(key for row in rows.values() for key in row)
    return {name: [row[name] for row in rows.values() if name in row] for name in names}


def main() -> None:
    """Train, measure, print medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--h",
        type=Path,
        required=True,
        help="folder of the h-transforms: trained where they are missing",
    )
    parser.add_argument("--dims", type=int, nargs="*", default=[8, 80])
    parser.add_argument("--measurements", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--problems", type=int, default=20)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--particles", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=3000, help="of training")
    parser.add_argument("--plain", action="store_true", help="also a residual MLP without anchors")
    parser.add_argument(
        "--learned-only", action="store_true", help="leave out the methods that need no training"
    )
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for d in args.dims:
        for d_y in args.measurements:
            cell = Cell(d, d_y)
            prior = cell.prior().float()
            names = {"learned": False, **({"learned, no anchors": True} if args.plain else {})}
            made = {
                name: trained(cell, prior, args.h, args.steps, plain)
                for name, plain in names.items()
            }
            facts: dict[str, object] = {
                "training": {name: training for name, (_, training) in made.items()}
            }
            columns = run(
                cell,
                {name: h for name, (h, _) in made.items()},
                facts,
                args,
                args.out / f"methods-d{d}-dy{d_y}.json",
            )
            for key, values in sorted(columns.items(), key=lambda item: statistics.median(item[1])):
                print(
                    f"d = {d}, d_y = {d_y}: {key:24} {statistics.median(values):.3f} "
                    f"({len(values)} problems)",
                    flush=True,
                )


if __name__ == "__main__":
    main()
