"""Cheaper evaluations: the ratio of each to float32 as it is, with the quality beside it.

    python benchmarks/studies/cheaper.py benchmarks/quality/digits.yaml --data FOLDER \\
        [--h h-digits-32-box] [--problem box-0.05] [--images 32] [--samples 8] [--repeats 5] \\
        [--out benchmarks/results/cheaper]

`DPMSolver` with 20 steps on test images, the same observations and seeds for all. Seconds are
processor time of a batch of 32 signals, one thread, repeats interleaved; ratios are taken repeat by
repeat (median and range). `--compile` adds torch.compile, whose first evaluation takes a minute.
Quality: PSNR of the mean, coverage of 90 % intervals over uncertain pixels, CRPS, with standard
errors over images. Beside the reuse of deep features stand as many evaluations as cost about the
same.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import deft
from deft.htransforms.skipped import Skipped
from deft.networks.faster import channels_last, compiled
from deft.noise import Noise
from deft.posterior import Posterior
from deft.priors.base import Prior
from deft.priors.precision import InPrecision
from deft.priors.reused import Reused
from deft.samplers.dpm_solver import DPMSolver
from deft.training import checkpoint, places

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from setting import Setting

BATCH = 32
Arm = tuple[Prior, deft.LearnedHTransform | Skipped, int]


def estimate(values: Tensor) -> list[float]:
    """Mean over images, and its standard error."""
    return [float(values.mean()), float(values.std() / len(values) ** 0.5)]


def quality(samples: Tensor, truth: Tensor) -> dict[str, list[float]]:
    """PSNR of the mean, coverage where samples differ, and CRPS (fair), by image."""
    n = samples.shape[1]
    error = (samples.mean(1) - truth).square().flatten(1).mean(1)
    low, high = samples.amin(1), samples.amax(1)
    unsure = (samples.std(1) > 0.02).flatten(1)
    inside = ((truth >= low) & (truth <= high)).flatten(1)
    covered = (inside & unsure).sum(1) / unsure.sum(1).clamp(min=1)
    apart = (samples[:, :, None] - samples[:, None]).abs().sum((1, 2)) / (n * (n - 1))
    crps = ((samples - truth[:, None]).abs().mean(1) - apart / 2).flatten(1).mean(1)
    return {
        "psnr_mean": estimate(10 * (4 / error).log10()),
        f"coverage_between_extremes_of_{n} ({(n - 1) / (n + 1):.3f} is right)": estimate(covered),
        "crps": estimate(crps),
    }


def arms(prior: Prior, h: Any, bins: Any, with_compile: bool) -> dict[str, Arm]:
    """What is compared."""

    def changed(change: Callable[[Any], object]) -> Arm:
        own, learned = copy.deepcopy(prior), copy.deepcopy(h)
        change(own)
        change(learned)
        return own, learned, 20

    found: dict[str, Arm] = {
        "as it is": (prior, h, 20),
        "bf16": (InPrecision(copy.deepcopy(prior), "bf16"), h, 20),
        "channels_last": changed(channels_last),
    }
    if with_compile:
        found["torch.compile"] = changed(compiled)
    for least in (0.1, 0.2):
        skipped = Skipped.by_validation(h, bins, least)
        found[f"h where it takes off {100 * least:.0f} % or more"] = (prior, skipped, 20)
    found["deep features of every second step"] = (Reused(prior, 2), h, 20)
    found["16 steps"] = (prior, h, 16)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--h", default="h-digits-32-box")
    parser.add_argument("--problem", default="box-0.05")
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--compile", action="store_true")
    args, setting = Setting.of(parser)
    prior: Prior = setting.prior.frozen()
    h, card = checkpoint.load(places.located(args.h), prior)
    compared = arms(prior, h.eval(), card["metrics"]["bins"], args.compile)
    truth = setting.images("test", args.images)
    observed = setting.observation(args.problem, truth)
    part = observed.take([i % len(truth) for i in range(BATCH)])
    seconds: dict[str, list[float]] = {name: [] for name in compared}
    for repeat in range(-1, args.repeats):
        for name, (own, learned, steps) in compared.items():
            posterior = Posterior(own, learned, part)
            begin = time.process_time()
            DPMSolver(steps).run(posterior, Noise(range(BATCH)))
            if repeat >= 0:
                seconds[name].append(time.process_time() - begin)
    rows: dict[str, Any] = {}
    for name, (own, learned, steps) in compared.items():
        ratios = [a / b for a, b in zip(seconds[name], seconds["as it is"], strict=True)]
        samples = DPMSolver(steps)(
            Posterior(own, learned, observed), args.samples, seed=0, batch_size=64
        )
        rows[name] = {
            "ratio": statistics.median(ratios),
            "range": [min(ratios), max(ratios)],
            "seconds": statistics.median(seconds[name]),
            **quality(samples, truth),
        }
        print(f"{name:36} {json.dumps(rows[name])}", flush=True)
    result = {
        "h": args.h,
        "images": args.images,
        "samples": args.samples,
        "repeats": args.repeats,
        "batch": BATCH,
        "torch": torch.__version__,
        "rows": rows,
    }
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / f"{args.h}.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
