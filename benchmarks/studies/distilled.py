"""Few steps by distillation: h for 4 or 8 evaluations against the h that it came from.

    python benchmarks/studies/distilled.py benchmarks/quality/digits.yaml --data DIGITS_FOLDER \\
        --out runs/distilled [--problem box-0.05] [--steps-to 4] [--by teacher path score] \\
        [--images 64] [--samples 8] [--train 400] [--steps 250] [--keep FILE]

The h-transform is the one that ships for the problem. `teacher`: its own 20 steps, from states of
its own, on `--train` images with one path each; `path`: from there on, the same from states that
the student visits; `score`: from there on, the energy score of pairs of samples. `path` and
`score` go on for a fifth of the steps. Against it, undistilled: DPM-Solver++(2M) and DDIM (eta =
1) with 4, 8 and 20 evaluations, and DDIM (eta = 0) on the student's own grid. The same test
images, measurements and seeds for all (`--student 2M`: the steps of DPM-Solver++ learn, not those
of DDIM); PSNR of mean and sample, patch distance, misfit, coverage
of 90 % intervals of entries that are uncertain, CRPS (x 10^3), standard errors over images, and
paired differences to 20 evaluations of DPM-Solver++. Trainings and samples are kept; the same
command goes on from where it was stopped.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from deft.htransforms.base import HTransform
from deft.likelihoods import Observation
from deft.metrics.calibration import crps, ranks, uncertain
from deft.metrics.distribution import patch_distance_leaving_out
from deft.metrics.image import misfit, psnr
from deft.noise import mix
from deft.posterior import Posterior
from deft.priors.base import Prior
from deft.samplers.base import Sampler
from deft.samplers.ddim import DDIM
from deft.samplers.dpm_solver import DPMSolver
from deft.samplers.grids import UniformLogSNR
from deft.storage import provenance
from deft.storage.atomic import atomic
from deft.studies.estimate import Estimate, groups
from deft.training import checkpoint
from deft.training.distillation import EnergyScore, TrajectoryMatching
from deft.training.loop import train
from deft.training.places import located
from deft.training.rollout import Rollout

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from calibration import THRESHOLD, eight_bits
from setting import Setting, keep

SHIPPED = {
    ("digits-32", "box-0.05"): "h-digits-32-box",
    ("digits-32", "freeform-0.05"): "h-digits-32-inpainting",
    ("digits-32", "sr4-0.05"): "h-digits-32-super-resolution",
    ("natural-64", "freeform-0.05"): "h-natural-64-inpainting",
    ("natural-64", "sr4-0.05"): "h-natural-64-super-resolution",
}
LEVEL, TEACHER, REFERENCE = 0.9, 20, "2M-20"


def drawn(
    prior: Prior, h: HTransform, sampler: Sampler, y: Observation, count: int, path: Path
) -> Tensor:
    """(images, samples, *event), eight images at a time, kept in files."""
    path.mkdir(parents=True, exist_ok=True)
    parts = []
    for start in range(0, len(y), 8):
        part = path / f"{start:04d}.safetensors"
        if not part.exists():
            index = range(start, min(start + 8, len(y)))
            seeds = [mix(18, i) for i in index]
            keep(part, sampler(Posterior(prior, h, y.take(index)), count, seed=seeds)[:].half())
        parts.append(load_file(part)["x_0"].float())
    return torch.cat(parts)


def estimates(samples: Tensor, truth: Tensor, y: Observation) -> dict[str, Estimate]:
    """Every measure over the images, with what paired differences need."""
    count = samples.shape[1]
    rounded = eight_bits(samples), eight_bits(truth)
    where = uncertain(*rounded, THRESHOLD)
    v = torch.rand(truth.shape, generator=torch.Generator().manual_seed(0))
    u = (ranks(*rounded) + v) / (count + 1)
    inside = ((u - 0.5).abs() <= LEVEL / 2) & where
    share = inside.flatten(1).sum(1) / where.flatten(1).sum(1).clamp(min=1)
    each = [samples[:, j] for j in range(count)]
    parts = groups(len(truth))
    whole, *left = (
        sum(row) / len(row) for row in patch_distance_leaving_out(each[0], truth, parts, patches=64)
    )
    spread = samples.std(1).flatten(1).square().mean(1).sqrt()
    per_image = {
        "psnr_mean": psnr(samples.mean(1), truth, 2.0),
        "psnr_sample": torch.stack([psnr(x, truth, 2.0) for x in each]).mean(0),
        "misfit": torch.stack([misfit(x, y) for x in each]).square().mean(0).sqrt(),
        "coverage_90": share,
        "crps": 1e3 * crps(samples, truth).flatten(1).mean(1),
        "spread": spread,
    }
    found = {key: Estimate.mean(value.double().tolist()) for key, value in per_image.items()}
    return {**found, "patch_distance": Estimate(whole, tuple(left), len(truth))}


def short(args: argparse.Namespace) -> Sampler:
    """The student's sampler."""
    grid = UniformLogSNR(args.high, args.low)
    k: int = args.steps_to
    return DPMSolver(k, grid) if args.student == "2M" else DDIM(k, 0.0, grid)


def learned(
    by: str, h: HTransform, prior: Prior, args: argparse.Namespace, setting: Setting
) -> tuple[HTransform, float]:
    """The student, and the seconds that it took with what it began from."""
    problem, sampler = setting.problem(args.problem), short(args)
    made, before, steps = copy.deepcopy(h), 0.0, args.steps
    if by != "teacher":
        made, before = learned("teacher", h, prior, args, setting)
        steps = max(args.steps // 5, 1)
    count, substeps = args.train, TEACHER // args.steps_to
    objective: Rollout
    if by == "score":
        objective = EnergyScore(problem, sampler)
    elif by == "path":
        objective = TrajectoryMatching(problem, copy.deepcopy(h), sampler, substeps=substeps)
    else:
        objective = TrajectoryMatching(
            problem,
            copy.deepcopy(h),
            sampler,
            substeps=substeps,
            follow="teacher",
            repeats=1,
        )
    start = args.train if by != "teacher" else 0  # others than those that were learned first
    result = train(
        made.train(),
        prior,
        objective,
        setting.images("train", count, start=start),
        steps=steps,
        batch_size=16,
        learning_rate=1e-3 if by == "teacher" else 3e-4,
        ema=0.99,
        log_every=10,
        save_every=25,
        out=args.out / args.problem / f"{by}-{args.steps_to}-{args.student}",
        progress=False,
    )
    return made.eval(), before + result.seconds


def main() -> None:
    """Distil, draw, compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problem", default="box-0.05")
    parser.add_argument("--steps-to", type=int, default=4)
    parser.add_argument("--low", type=float, default=-3.0)
    parser.add_argument("--high", type=float, default=4.0)
    parser.add_argument("--by", nargs="*", default=["teacher", "path", "score"])
    parser.add_argument("--student", choices=["DDIM", "2M"], default="DDIM")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--train", type=int, default=400)
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--keep", type=Path)
    args, setting = Setting.of(parser)
    prior, k = setting.prior, args.steps_to
    sampler = short(args)
    h, _ = checkpoint.load(located(SHIPPED[setting.config["prior"], args.problem]), prior)
    h = h.trainable().eval()
    truth = setting.images(setting.config["test"]["split"], args.images)
    y = setting.observation(args.problem, truth)
    rows: dict[str, tuple[HTransform, Sampler, float]] = {
        REFERENCE: (h, DPMSolver(TEACHER), 0.0),
        "2M-8": (h, DPMSolver(8), 0.0),
        "2M-4": (h, DPMSolver(4), 0.0),
    }
    grid = f"{args.low:g} to {args.high:g}"
    if args.student == "2M":
        rows[f"2M-{k}, {grid}"] = (h, sampler, 0.0)
    else:
        rows[f"DDIM-{k}, eta 1, {grid}"] = (h, DDIM(k, 1.0, sampler.grid), 0.0)
        rows[f"DDIM-{k}, eta 0, {grid}"] = (h, DDIM(k, 0.0, sampler.grid), 0.0)
    for by in args.by:
        made, seconds = learned(by, h, prior, args, setting)
        rows[f"distilled-{k}, {by}, {args.student}, {grid}"] = (made, sampler, seconds)
    found: dict[str, dict[str, Estimate]] = {}
    table: list[dict[str, Any]] = []
    for label, (made, steps, seconds) in rows.items():
        begin = time.time()
        folder = args.out / args.problem / "samples" / label.replace(", ", "-").replace(" ", "-")
        found[label] = estimates(drawn(prior, made, steps, y, args.samples, folder), truth, y)
        row = {
            "label": label,
            "evaluations": steps.evaluations,
            "training_seconds": round(seconds, 1),
            "measures": {key: value.card() for key, value in found[label].items()},
            "less_reference": {
                key: (value - found[REFERENCE][key]).card() for key, value in found[label].items()
            },
        }
        table.append(row)
        shown = ", ".join(
            f"{key} {value.value:.3f} ± {value.standard_error:.3f} "
            f"({(value - found[REFERENCE][key]).value:+.3f} ± "
            f"{(value - found[REFERENCE][key]).standard_error:.3f})"
            for key, value in found[label].items()
        )
        print(f"{label} ({time.time() - begin:.0f} s): {shown}", flush=True)
    results = {
        "prior": setting.config["prior"],
        "problem": args.problem,
        "images": args.images,
        "samples": args.samples,
        "reference": REFERENCE,
        "student": {"steps": k, "of": args.student, "low": args.low, "high": args.high},
        "training": {"images": args.train, "steps": args.steps, "batch_size": 16},
        "versions": provenance.versions(),
        "methods": table,
    }
    for path in filter(
        None, (args.out / args.problem / f"results-{k}-{args.student}.json", args.keep)
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path) as stream:
            stream.write((json.dumps(results, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
