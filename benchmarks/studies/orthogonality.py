"""Where an estimate follows x_t too little, by noise level and frequency: the prior's x_0_hat and
DEFT's, without drawing a sample.

    python benchmarks/studies/orthogonality.py benchmarks/quality/ct.yaml --data CT_FOLDER \\
        --h runs/h-ct --out runs/orthogonality-ct [--only views-60] [--images 16]

    slope of deft.metrics.orthogonality at each log-SNR, in bands of frequencies, and || x_0
        - x_0_hat ||^2 / d in units of (sigma_t / alpha_t)^2

over held-out images (of the validation split, or of `--split`). Where the slope is above zero
samples are narrower than the posterior. Leaves OUT/PROBLEM.json, prints a table.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch

from deft.metrics.orthogonality import slopes
from deft.noise import Noise, mix
from deft.posterior import Posterior
from deft.storage.atomic import atomic
from deft.training import checkpoint

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from setting import Setting

LEVELS = (1.0, 3.0, 5.0, 6.0, 7.0, 8.0, 9.0)


def main() -> None:
    """Measure, problem by problem."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--h", type=Path, required=True, help="the folder of learned h-transforms")
    parser.add_argument("--only", nargs="*", help="some of the problems")
    parser.add_argument("--split", default="val", choices=["train", "val", "test"])
    parser.add_argument("--images", type=int, default=16)
    args, setting = Setting.of(parser)
    prior = setting.prior
    x_0 = setting.images(args.split)
    x_0 = x_0[:: max(len(x_0) // args.images, 1)][: args.images]  # of all patients
    seeds = [mix(21, i) for i in range(len(x_0))]
    for name in args.only or setting.config["problems"]:
        observation = setting.problem(name).draw(x_0, Noise(seeds))
        h = checkpoint.load(args.h / f"{name}.safetensors", prior)[0].eval()
        rows = []
        print(
            f"| {name}: log-SNR | | slopes, from low to high frequencies | error |\n| ---: | --- "
            "| --- | ---: |"
        )
        for level in LEVELS:
            t = prior.schedule.time(torch.tensor([level])).expand(len(x_0))
            alpha_t, sigma_t = prior.levels(x_0, t)
            x_t = alpha_t * x_0 + sigma_t * Noise(seeds).normal(round(10 * level), x_0.shape[1:])
            for title, estimate in (("prior", prior), ("DEFT", Posterior(prior, h, observation))):
                with torch.no_grad():
                    x_0_hat = estimate.denoise(x_t, t)
                found = slopes(x_0, x_t, alpha_t, x_0_hat)
                error = float(((x_0 - x_0_hat) * alpha_t / sigma_t).square().mean())
                row = {
                    "log_snr": level,
                    "estimate": title,
                    "edges": found.edges,
                    "slopes": found.values,
                }
                rows.append(row | {"standard_errors": found.standard_errors, "error": error})
                cells = ", ".join(
                    f"{value:+.3f} ± {of:.3f}"
                    for value, of in zip(found.values, found.standard_errors)
                )
                print(f"| {level:g} | {title} | {cells} | {error:.3f} |", flush=True)
        args.out.mkdir(parents=True, exist_ok=True)
        with atomic(args.out / f"{name}.json") as stream:
            card = {
                "problem": name,
                "prior": setting.config["prior"],
                "split": args.split,
                "images": len(x_0),
                "rows": rows,
            }
            stream.write((json.dumps(card, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
