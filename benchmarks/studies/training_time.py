"""Processor time to the plain loop's final validation loss: several measurements for each
evaluation of the prior, and one bank for three operators.

    python benchmarks/studies/training_time.py --data FOLDER [--steps 400] [--repeats 3] \\
        [--variants 2:16:400 4:8:400] [--bank 4096] [--prior natural-64] \\
        [--out benchmarks/results/training_time.json]

A variant is MEASUREMENTS:BATCH:STEPS, with BATCH the evaluations of the prior in a step; the plain
loop is 1:32:STEPS. The three operators learn from a bank by the plain loop's steps, each from
nothing ("bank"), or the second and third from the first one's weights in --warm-steps ("bank, warm
start"). One process, one thread, processor time without that of validations, all arms of a seed one
after the other, the same seeds, images and validation draws for all. A curve is (step, seconds,
validation loss), each with its own learning rate schedule, so that only its end is a finished
training. The loop is that of today for all arms.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import deft
from deft.priors.base import Prior
from deft.priors.zoo import load
from deft.problems import Inpainting, Problem, SuperResolution
from deft.training.bank import Bank
from deft.training.denoising import DenoisingScoreMatching
from deft.training.loop import train
from deft.training.run import Run
from deft.training.sources import Source

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "recipes"))
from train_prior import READERS, as_float

OPERATORS: dict[str, Problem] = {
    "free-form": Inpainting(masks="freeform", sigma_y=0.05),
    "box": Inpainting(masks="box", sigma_y=0.05),
    "4x": SuperResolution(factor=4, sigma_y=0.05),
}
Curve = list[tuple[int, float, float]]


class Watch:
    """Processor time of a run without that of its validations, and the validation losses."""

    def __init__(self) -> None:
        self.curve: Curve = []
        self.examined, self.began = 0.0, time.process_time()

    def __enter__(self) -> Watch:
        self.before: Callable[[Run], None] = Run.examine
        before, watch = self.before, self

        def examine(run: Run) -> None:
            now = time.process_time()
            at = now - watch.began - watch.examined
            before(run)
            watch.examined += time.process_time() - now
            if run.due(run.plan.validate_every) and run.at.validation is not None:
                watch.curve.append((run.at.step, at, run.at.validation["loss"]))

        Run.examine = examine  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        Run.examine = self.before  # type: ignore[method-assign]


def learned(
    prior: Prior,
    problem: Problem,
    source: Tensor | Source,
    held_out: Tensor,
    *,
    steps: int,
    batch: int,
    per_evaluation: int = 1,
    seed: int,
    start: deft.LearnedHTransform | None = None,
) -> tuple[Curve, deft.LearnedHTransform]:
    """One run."""
    torch.manual_seed(seed)
    h = deft.LearnedHTransform.for_prior(prior) if start is None else copy.deepcopy(start)
    with Watch() as watch:
        train(
            h,
            prior,
            DenoisingScoreMatching(problem, per_evaluation=per_evaluation),
            source,
            steps=steps,
            batch_size=batch,
            validation=held_out,
            validate_every=max(steps // 5, 1),
            validation_draws=256,
            seed=seed,
            progress=False,
        )
    return watch.curve, h


def reached(curve: Curve, goal: float) -> float | None:
    """The seconds at which a curve is first at `goal` or below."""
    return next((seconds for _, seconds, loss in curve if loss <= goal), None)


def summary(values: Sequence[float]) -> dict[str, float]:
    """Median and range."""
    return {
        "median": round(statistics.median(values), 4),
        "min": round(min(values), 4),
        "max": round(max(values), 4),
    }


def against(plain: list[float], own: list[float]) -> dict[str, float]:
    """The ratios, seed by seed."""
    return summary([b / a for a, b in zip(plain, own, strict=True)])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--prior", default="digits-32", choices=["digits-32", "natural-64"])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--variants", nargs="*", default=["2:16:400", "4:8:400", "8:4:400"])
    parser.add_argument("--bank", type=int, default=4096, help="evaluations; 0 for none")
    parser.add_argument("--warm-steps", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/training_time.json"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    prior, read = load(args.prior).frozen(), READERS[args.prior.partition("-")[0]]
    images = as_float(read(args.data, "train")[:16384])
    held_out = as_float(read(args.data, "val")[:256])
    runs: dict[str, list[dict[str, Any]]] = {}

    def note(arm: str, operator: str, seed: int, curve: Curve) -> None:
        runs.setdefault(arm, []).append({"operator": operator, "seed": seed, "curve": curve})
        print(f"{arm:24} {operator:10} seed {seed}: {curve[-1][1]:.1f} s, {curve[-1][2]:.5f}")

    for seed in range(args.repeats):
        for name, problem in OPERATORS.items():
            if name != "free-form" and not args.bank:
                continue
            plain, _ = learned(
                prior, problem, images, held_out, steps=args.steps, batch=32, seed=seed
            )
            note("plain", name, seed, plain)
        for variant in args.variants:
            count, batch, steps = map(int, variant.split(":"))
            curve, _ = learned(
                prior,
                OPERATORS["free-form"],
                images,
                held_out,
                steps=steps,
                batch=batch,
                per_evaluation=count,
                seed=seed,
            )
            note(variant, "free-form", seed, curve)
        if args.bank:
            began = time.process_time()
            bank = Bank.build(prior, images, args.bank, seed=seed, progress=False)
            note("bank, building", "all", seed, [(0, time.process_time() - began, 0.0)])
            first: deft.LearnedHTransform | None = None
            for name, problem in OPERATORS.items():
                curve, h = learned(
                    prior, problem, bank, held_out, steps=args.steps, batch=32, seed=seed
                )
                note("bank", name, seed, curve)
                if first is not None:
                    curve, _ = learned(
                        prior,
                        problem,
                        bank,
                        held_out,
                        steps=args.warm_steps,
                        batch=32,
                        seed=seed,
                        start=first,
                    )
                    note("bank, warm start", name, seed, curve)
                first = first or h
        args.out.parent.mkdir(parents=True, exist_ok=True)
        settings = {
            name: str(value) for name, value in vars(args).items() if name not in ("data", "out")
        }
        args.out.write_text(
            json.dumps(
                {"settings": settings, "torch": torch.__version__, **report(runs, args)}, indent=1
            )
            + "\n"
        )
    print(json.dumps(report(runs, args)["ratios"], indent=1))


def report(runs: dict[str, list[dict[str, Any]]], args: argparse.Namespace) -> dict[str, Any]:
    """The ratios of processor time and of final losses, and the curves."""

    def ends(arm: str, operator: str, place: int) -> list[float]:
        return [run["curve"][-1][place] for run in runs[arm] if run["operator"] == operator]

    ratios: dict[str, Any] = {}
    for variant in args.variants:
        own = [run["curve"] for run in runs[variant]]
        goals = ends("plain", "free-form", 2)
        times = [reached(curve, goal) for curve, goal in zip(own, goals, strict=True)]
        ratios[variant] = {
            "time of the whole run": against(
                ends("plain", "free-form", 1), ends(variant, "free-form", 1)
            ),
            "final loss": against(goals, ends(variant, "free-form", 2)),
            "time to the plain loop's final loss": [
                None if seconds is None else round(seconds / plain, 3)
                for seconds, plain in zip(times, ends("plain", "free-form", 1), strict=True)
            ],
        }
    if args.bank:
        build = ends("bank, building", "all", 1)
        plain = [sum(s) for s in zip(*(ends("plain", name, 1) for name in OPERATORS))]
        cold = [sum(s) for s in zip(build, *(ends("bank", name, 1) for name in OPERATORS))]
        later = [name for name in OPERATORS if name != "free-form"]
        warm = [
            sum(s)
            for s in zip(
                build,
                ends("bank", "free-form", 1),
                *(ends("bank, warm start", name, 1) for name in later),
            )
        ]
        ratios["bank, three operators"] = {
            "time": against(plain, cold),
            "final loss": {
                name: against(ends("plain", name, 2), ends("bank", name, 2)) for name in OPERATORS
            },
        }
        ratios["bank, warm start, three operators"] = {
            "time": against(plain, warm),
            "final loss": {
                name: against(ends("plain", name, 2), ends("bank, warm start", name, 2))
                for name in later
            },
        }
    return {"ratios": ratios, "runs": runs}


if __name__ == "__main__":
    main()
