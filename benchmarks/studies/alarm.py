"""The mismatch alarm: false alarms, and how often it sees that something is not as told.

    python benchmarks/studies/alarm.py CONFIG --data DATA --out RUN --problem sr4-0.05 \\
        --h h-digits-32-super-resolution [--others natural=FOLDER] [--keep FILE]

The reference is measured on validation images, everything else on test images, which neither the
prior nor h has seen; one operator and noise per image. Conditions: as told; the noise 1.5 and 2
times as large; another operator than told; other data. `--others READER=FOLDER` adds images of
another data set. sigma_y is estimated from the same samples, per image and over all of a condition.
The same command goes on from where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from deft import operators
from deft.likelihoods import Observation
from deft.metrics.alarm import Reference, measure
from deft.metrics.alarm.noise_level import by_curve
from deft.noise import Noise, mix
from deft.operators.kernels import gaussian_kernel, motion_kernel
from deft.samplers.dpm_solver import DPMSolver
from deft.storage import provenance
from deft.storage.atomic import atomic
from deft.studies.alarm import measured
from deft.studies.method import Method
from deft.studies.parts import draw
from deft.training import checkpoint
from deft.training.places import located

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from setting import Setting
from train_prior import READERS, as_float

SAMPLES = 8
Change = Callable[[Any, Tensor], Tensor]  # the operator that was told, and clean images: A' x


def other_operators(kind: str) -> dict[str, Change]:
    """Operators that were not told, by the class of the problem."""
    if kind == "Inpainting":
        return {
            "mask shifted by 1 pixel": lambda told, x: told.mask.roll(1, -1) * x,
            "mask shifted by 3 pixels": lambda told, x: told.mask.roll(3, -1) * x,
        }
    if kind == "SuperResolution":
        wide = operators.Blur(gaussian_kernel(9, 1.5), "reflect")
        return {
            "blurred before (std 1.5)": lambda told, x: told(wide(x)),
            "bicubic": lambda told, x: operators.SuperResolution(
                told.factor, x.shape[1:], "bicubic"
            )(x),
            "shifted by 1 pixel": lambda told, x: told(x.roll(1, -1)),
        }
    return {
        "Gaussian of std 2.2, not 1.5": lambda told, x: operators.Blur(
            gaussian_kernel(9, 2.2), "circular"
        )(x),
        "motion blur": lambda told, x: operators.Blur(
            motion_kernel(15, Noise([mix(7, i) for i in range(len(x))])), "circular"
        )(x),
    }


def other_data(name: str, test: Tensor, others: list[str]) -> dict[str, Tensor]:
    """Images that the prior was not trained on, of its shape."""
    found = {"inverted": -test} if name == "digits" else {"upside down": test.flip(-2)}
    if name == "digits":
        found["turned by 90 degrees"] = test.rot90(1, (-2, -1)).contiguous()
    channels, size = test.shape[1], test.shape[-1]
    for other in others:
        reader, _, folder = other.partition("=")
        x = as_float(READERS[reader](Path(folder), "test")[: len(test)])
        x = x.mean(1, keepdim=True).expand(-1, channels, -1, -1)
        x = torch.nn.functional.interpolate(x, (size, size), mode="bilinear", antialias=True)
        found[f"images of {reader}, grey"] = x.contiguous()
    return found


def share(flags: list[bool]) -> dict[str, float]:
    """A share with its binomial standard error, of at least one in n + 2."""
    n, k = len(flags), sum(flags)
    softened = (k + 1) / (n + 2)
    return {
        "share": round(k / n, 4),
        "standard_error": round(math.sqrt(softened * (1 - softened) / n), 4),
        "images": n,
    }


def main() -> None:
    """Measure the reference, then every condition."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problem", required=True)
    parser.add_argument("--h", required=True)
    parser.add_argument("--reference", type=int, default=99)
    parser.add_argument("--test", type=int, default=100)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--noise-images", type=int, default=16)
    parser.add_argument("--others", nargs="*", default=[])
    parser.add_argument("--keep", type=Path)
    args, setting = Setting.of(parser)
    prior, problem = setting.prior, setting.problem(args.problem)
    h, _ = checkpoint.load(located(args.h), prior)
    sampler, out, seed = DPMSolver(args.steps), args.out / args.problem, setting.config["seed"]
    method = Method("reference", h, sampler)
    known = measured(
        prior,
        method,
        problem,
        setting.images("val", args.reference),
        out,
        samples=SAMPLES,
        noise_images=args.noise_images,
    )
    test = setting.images("test", args.test)
    seeds = [[mix(seed, stream, i) for i in range(len(test))] for stream in (4, 5)]

    def rows(name: str, x: Tensor, factor: float, change: Change | None) -> tuple[Any, Observation]:
        noise = Noise(seeds[0][: len(x)])
        told = problem.draw(x, noise)
        level = told.sigma_y.reshape(-1, *(1,) * (told.y.ndim - 1))
        clean = told.operator(x) if change is None else change(told.operator, x)
        eps = noise.stream(8).normal(0, clean.shape[1:])
        observed = Observation(
            told.operator.observed(clean + factor * level * eps), told.likelihood
        )
        with tqdm(total=len(x), desc=name, mininterval=30) as bar:
            parts = draw(
                prior, observed, Method(name, h, sampler), out / "test", SAMPLES, seeds[1], 64, bar
            )
        drawn = torch.cat([p.samples for p in sorted(parts, key=lambda part: part.start)])
        return measure(prior, observed, drawn, (SAMPLES,), known.levels)[0], observed

    conditions: list[tuple[str, str, Tensor, float, Change | None]] = [
        ("as told", "", test, 1.0, None),
        ("sigma_y x 2", "noise", test, 2.0, None),
        *(
            (name, "operator", test, 1.0, change)
            for name, change in other_operators(type(problem).__name__).items()
        ),
        *(
            (name, "data", x, 1.0, None)
            for name, x in other_data(setting.config["data"], test, args.others).items()
        ),
        ("sigma_y x 1.5", "noise", test, 1.5, None),
    ]
    results = {
        "config": args.config.name,
        "problem": problem.card(),
        "h": Path(str(args.h)).name,
        "prior": prior.identity(),
        "sampler": {"class": "DPMSolver", "steps": args.steps},
        "samples": SAMPLES,
        "reference_images": known.images,
        "false_alarms_promised": 0.05,
        "command": f"python benchmarks/studies/alarm.py {args.config} --data DATA --out RUN "
        f"--problem {args.problem} --h {args.h} --reference {args.reference} --test {args.test} "
        f"--steps {args.steps} --noise-images {args.noise_images}",
        "commit": provenance.commit(),
        "conditions": [],
    }
    for name, kind, x, factor, change in conditions:
        found, observed = rows(name, x, factor, change)
        results["conditions"].append(condition(name, kind, found, observed, factor, known))
        print(json.dumps(results["conditions"][-1]), flush=True)
        if args.keep:
            args.keep.parent.mkdir(parents=True, exist_ok=True)
            with atomic(args.keep) as stream:
                stream.write((json.dumps(results, indent=1) + "\n").encode())


def condition(
    name: str, kind: str, found: Tensor, observed: Observation, factor: float, known: Reference
) -> dict[str, Any]:
    """What the alarm says under one condition, and how sigma_y is estimated there."""
    levels = observed.sigma_y.expand(len(found)).tolist()
    verdicts = [known.judge(row, SAMPLES, level) for row, level in zip(found, levels, strict=True)]
    reasons = Counter(v.reasons[0].split(":")[0] for v in verdicts if v.alarm)
    z = ((found - known.rows(SAMPLES)[0].mean(0)) / known.rows(SAMPLES)[0].std(0)).mean(0)
    result: dict[str, Any] = {
        "condition": name,
        "kind": kind,
        "alarms": share([v.alarm for v in verdicts]),
        "first_reasons": dict(reasons.most_common(3)),
        "mean_z": {key: round(float(v), 2) for key, v in zip(known.names, z, strict=True)},
    }
    if known.noise is not None and kind in ("", "noise"):
        told = observed.sigma_y
        estimate = by_curve(found[:, 1], told, known, SAMPLES)
        ratio = torch.tensor(estimate.each) / (factor * told.expand(len(found)))
        result["sigma_y_estimated"] = {
            "true": round(factor * float(told[0]), 5),
            "pooled": round(estimate.pooled, 5),
            "ratio_mean": round(float(ratio.mean()), 4),
            "ratio_standard_deviation": round(float(ratio.std()), 4),
            "within_10_percent": share(((ratio - 1).abs() <= 0.1).tolist()),
        }
    return result


if __name__ == "__main__":
    main()
