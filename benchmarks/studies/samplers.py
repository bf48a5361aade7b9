"""Which sampler, on which grid, with how many evaluations: quality and coverage of a learned
h-transform from 1 to 100 evaluations of the prior, on validation images.

    python benchmarks/studies/samplers.py benchmarks/quality/digits.yaml --data DIGITS_FOLDER \\
        --out runs/samplers-digits --problems box-0.05 --keep benchmarks/results/samplers

Kept are also `--problems sr4-0.05 --images 12` and, of photographs (natural.yaml), `--problems
freeform-0.05 --images 20 --samples 4 --short`, and of computed tomography (ct.yaml) `--problems
views-60 --images 16 --samples 4 --short --first 10 --every 5 --tuning-first 4`.
With `--published` (benchmarks/results/samplers-published; of photographs `--problems freeform-0.05
sr4-0.05 --samples 4`): the paper's 100 steps of DDIM, beside the cheapest of the others, with the
processor's seconds and the differences to the former.

The h-transforms that ship; the same observations and seeds for all. Grids are learned on validation
images 200 to 207, the first two of these with `--short` (the distance to 64 steps of the same
solver from the same x_1, `deft.studies.tune_grid`); everything is measured on validation images
from 100 on, which tune nothing else. Coverage is of central 90 % intervals of the pixels whose
spread, truth included, exceeds 0.05, or what the YAML file calls `uncertain`. Rows that are done
are kept in `OUT/PROBLEM.json`; the same command goes on from there. `--keep FOLDER` copies the
tables, without what is there for single images; `samplers_figure.py` draws them.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import deft
from deft.errors import InvalidInput
from deft.metrics.calibration import crps, ranks, uncertain
from deft.metrics.distribution import patch_distance_leaving_out
from deft.metrics.image import misfit, psnr
from deft.noise import Noise, mix
from deft.posterior import Posterior
from deft.samplers.base import Sampler
from deft.samplers.conjugate import ConjugateIntegrator
from deft.samplers.ddim import DDIM
from deft.samplers.dpm_solver import DPMSolver
from deft.samplers.grids import Karras, LogSNRCurve, TimeGrid, UniformLogSNR, UniformTime
from deft.samplers.informed import Informed
from deft.samplers.unipc import UniPC
from deft.storage import provenance
from deft.storage.atomic import atomic
from deft.studies.estimate import Estimate
from deft.studies.tune_grid import tune_grid

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from setting import Setting

SHIPS = {"box-0.05": "box", "sr4-0.05": "super-resolution", "freeform-0.05": "inpainting"}
ALL, FEW, LEARNED = (2, 4, 5, 8, 10, 20), (5, 8), (4, 5, 8)
REFERENCE, LEVEL, THRESHOLD, GROUPS = "2M (20)", 0.9, 0.05, 8
PUBLISHED = "DDIM eta 1, time (100)"
START = -4.0  # log-SNR of an informed start


def samplers(curves: dict[int, LogSNRCurve], short: bool) -> Iterator[tuple[str, int, Sampler]]:
    """Family, evaluations, sampler."""
    for n in (5, 8, 20, 50) if short else (1, *ALL, 50):
        yield "2M", n, DPMSolver(n)
    for n in (5, 8, 20) if short else (*ALL, 50):
        yield "DDIM eta 1", n, DDIM(n, 1.0, UniformLogSNR())
    for n in (5, 8) if short else ALL[1:]:
        yield "UniPC-2", n, UniPC(n, order=2)
    for n in curves:
        yield "2M, learned grid", n, DPMSolver(n, curves[n])
        yield "UniPC-2, learned grid", n, UniPC(n, curves[n], order=2)
        if not short:
            yield "DDIM eta 1, learned grid", n, DDIM(n, 1.0, curves[n])
    for n in FEW:
        yield "2M eta 0.5", n, DPMSolver(n, eta=0.5)
    if short:
        return
    for n in ALL[1:]:
        yield "DDIM eta 1, time", n, DDIM(n, 1.0, UniformTime())
    for n in FEW:
        yield "3M", n, DPMSolver(n, order=3)
        yield "UniPC-3", n, UniPC(n, order=3)
        yield "conjugate", n, ConjugateIntegrator(n)
        yield "2M, Karras", n, DPMSolver(n, Karras(0.011, 3000.0))
        yield "2M, time", n, DPMSolver(n, UniformTime())
        yield "2M eta 1", n, DPMSolver(n, eta=1.0)
        yield "DDIM eta 0.5", n, DDIM(n, 0.5, UniformLogSNR())
    for n in LEARNED:
        yield "2M, informed start", n, Informed(DPMSolver(n, UniformLogSNR(low=START)), START)
    yield "2M", 100, DPMSolver(100)


def as_published(curves: dict[int, LogSNRCurve], short: bool) -> Iterator[tuple[str, int, Sampler]]:
    """100 steps of DDIM uniform in time, the paper's setting, beside the cheapest of the above."""
    yield "DDIM eta 1, time", 100, DDIM(100, 1.0, UniformTime())
    yield "UniPC-2", 8, UniPC(8, order=2)
    yield "2M", 20, DPMSolver(20)


def measures(x: Tensor, truth: Tensor, posterior: Posterior, threshold: float) -> dict[str, Any]:
    """Per image, and the patch distance with its replicates."""
    n, m = x.shape[:2]
    each = posterior.observation.repeat(m)
    flat = x.flatten(0, 1)
    where = uncertain(x, truth, threshold).flatten(1)
    v = torch.rand(truth.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    u = ((ranks(x, truth) + v) / (m + 1)).flatten(1)
    inside = (u - 0.5).abs() <= LEVEL / 2
    groups = [list(range(k, n, GROUPS)) for k in range(GROUPS)]
    rows = [patch_distance_leaving_out(x[:, j], truth, groups) for j in range(min(m, 4))]
    patches = torch.tensor(rows).mean(dim=(0, 2)).tolist()
    return {
        "psnr_mean": psnr(x.mean(1), truth, 2.0).tolist(),
        "psnr_sample": psnr(flat, truth.repeat_interleave(m, 0), 2.0).view(n, m).mean(1).tolist(),
        "crps": crps(x, truth).flatten(1).mean(1).tolist(),
        "misfit": misfit(flat, each).view(n, m).square().mean(1).tolist(),
        "inside": (inside & where).sum(1).tolist(),
        "uncertain": where.sum(1).tolist(),
        "patch_distance": patches,
    }


def estimates(row: dict[str, Any]) -> dict[str, Estimate]:
    """What a table shows of a row."""
    found = {name: Estimate.mean(row[name]) for name in ("psnr_mean", "psnr_sample", "crps")}
    found["misfit"] = Estimate.root_mean_square([value**0.5 for value in row["misfit"]])
    hits, count = torch.tensor(row["inside"]).double(), torch.tensor(row["uncertain"]).double()
    without = ((hits.sum() - hits) / (count.sum() - count)).tolist()
    found["coverage"] = Estimate(float(hits.sum() / count.sum()), tuple(without), len(hits))
    whole, *parts = row["patch_distance"]
    found["patch_distance"] = Estimate(whole, tuple(parts), len(hits))
    return found


def less(a: Estimate, b: Estimate) -> list[float]:
    """The difference of two rows on the same images, with its standard error."""
    apart = tuple(x - y for x, y in zip(a.replicates, b.replicates))
    d = Estimate(a.value - b.value, apart, a.count)
    return [round(d.value, 5), round(d.standard_error, 5)]


def table(kept: dict[str, Any], reference: str) -> dict[str, Any]:
    """Without what is there for single images, with differences to the reference."""
    rows = {label: estimates(row) for label, row in kept["rows"].items()}
    shown = {
        label: {
            "evaluations": kept["rows"][label]["evaluations"],
            **{k: v for k, v in kept["rows"][label].items() if k in ("family", "seconds")},
            **{k: [round(e.value, 5), round(e.standard_error, 5)] for k, e in row.items()},
            "less_reference": {
                k: less(e, rows[reference][k]) for k, e in row.items() if reference in rows
            },
        }
        for label, row in rows.items()
    }
    return {**{k: v for k, v in kept.items() if k != "rows"}, "less": reference, "rows": shown}


def learned(posterior: Posterior, steps: int, start: TimeGrid) -> dict[str, Any]:
    """A grid of `steps`, and how it was found."""
    many = DPMSolver(64)(posterior, 2, seed=11)

    def run(grid: LogSNRCurve) -> float:
        x = DPMSolver(steps, grid)(posterior, 2, seed=11)
        return float((x - many).square().mean().sqrt())

    begin = posterior.schedule.log_snr(start.times(posterior.schedule, steps))[1:].tolist()
    return tune_grid(run, begin, metric="distance to 64 steps", least=0.5).card()


def write(file: Path, kept: dict[str, Any]) -> None:
    """At once."""
    with atomic(file) as stream:
        stream.write((json.dumps(kept, indent=1) + "\n").encode())


def main() -> None:
    """Measure what is missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problems", nargs="+", default=["box-0.05", "sr4-0.05"])
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--short", action="store_true", help="the best few families alone")
    parser.add_argument("--first", type=int, default=100, help="validation image to begin from")
    parser.add_argument("--every", type=int, default=1, help="of these images (slices)")
    parser.add_argument("--tuning-first", type=int, default=200)
    parser.add_argument("--published", action="store_true", help="beside 100 steps of DDIM alone")
    parser.add_argument("--keep", type=Path)
    args, setting = Setting.of(parser)
    prior, name_of = setting.prior, setting.config["prior"]
    truth = setting.images("val", args.images * args.every, args.first)[:: args.every]
    tuning = setting.images("val", 2 if args.short else 8, args.tuning_first)
    for name in args.problems:
        file = args.out / f"{name}.json"
        kept: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
        request = {
            "prior": name_of,
            "problem": name,
            "images": args.images,
            "first": args.first,
            "every": args.every,
            "samples": args.samples,
            "noise": Noise.generator,
        }
        if any(kept.get(key, value) != value for key, value in request.items()):
            raise InvalidInput("out", given=str(file), expected=f"a run of {request}")
        kept = {"grids": {}, "rows": {}, **kept, **request}
        kept |= {"commit": provenance.commit(), "machine": provenance.machine("cpu")}
        h = deft.load(f"h-{name_of}-{SHIPS.get(name, name)}", prior=prior).h
        problem = setting.problem(name)

        tuned_on = problem.draw(tuning, Noise([mix(9, 4, i) for i in range(len(tuning))]))
        for steps in () if args.published else (5,) if args.short else LEARNED:
            if str(steps) not in kept["grids"]:
                at = Posterior(prior, h, tuned_on)
                kept["grids"][str(steps)] = learned(at, steps, UniformLogSNR(8.0, low=-6.0))
                write(file, kept)
                print(name, steps, kept["grids"][str(steps)], flush=True)
        curves = {
            int(k): LogSNRCurve(v["grid"]["args"]["values"]) for k, v in kept["grids"].items()
        }

        seen = problem.draw(truth, Noise([mix(9, 5, i) for i in range(len(truth))]))
        posterior = Posterior(prior, h, seen)
        those = as_published if args.published else samplers
        for family, n, sampler in those(curves, args.short):
            label = f"{family} ({n})"
            if label in kept["rows"]:
                continue
            began = time.process_time()
            x = sampler(posterior, args.samples, seed=7, batch_size=80)
            kept["rows"][label] = {
                "family": family,
                "seconds": time.process_time() - began,
                "evaluations": sampler.evaluations,
                **measures(x, truth, posterior, setting.config.get("uncertain", THRESHOLD)),
            }
            write(file, kept)
            shown = {k: round(e.value, 4) for k, e in estimates(kept["rows"][label]).items()}
            print(name, label, shown, flush=True)
        if args.keep:
            against = PUBLISHED if args.published else REFERENCE
            write(args.keep / f"{name_of}-{name}.json", table(kept, against))


if __name__ == "__main__":
    main()
