"""Photographs by a learned judge: which sampler of one h-transform it prefers, beside DDNM+.

    python benchmarks/studies/judged.py benchmarks/quality/natural.yaml --data NATURAL_FOLDER \\
        --out runs/judged [--problem freeform-0.05] [--images 100] \\
        [--any FILE] [--keep FILE]

DEFT's h-transform is the one that ships for the problem. One sample of each test image, the same
observations and seeds for all: KID, feature distance and agreement of EfficientNet-Lite0
(`pip install "deft-diffusion[judges]"`), with the paired differences to the first method. `OUT`
receives results.json and report.html; the same command goes on from where it was stopped. `--keep`
names a file for the numbers alone.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deft.metrics import Weights
from deft.metrics.judge import NAME
from deft.reports.page import write_report
from deft.reports.table import difference_table, results_table
from deft.samplers.ddim import DDIM
from deft.samplers.ddnm_plus import DDNMPlus
from deft.samplers.dpm_solver import DPMSolver
from deft.storage.atomic import atomic
from deft.studies.evaluation import evaluate
from deft.studies.method import Method
from deft.training import checkpoint
from deft.training.places import located

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from setting import Setting

SHIPPED = {"freeform-0.05": "h-natural-64-inpainting", "sr4-0.05": "h-natural-64-super-resolution"}


def numbers(results: Mapping[str, Any]) -> dict[str, Any]:
    """What was run and the summaries, without the values of single images."""
    origin = ("prior", "problem", "commit", "machine", "versions", "weights", "seed", "noise")
    kept = ("label", "h_transform", "sampler", "summary", "difference")
    return {
        **{key: results[key] for key in origin if key in results},
        "methods": [{key: row[key] for key in kept if key in row} for row in results["methods"]],
    }


def main() -> None:
    """Run the methods of one problem."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problem", choices=sorted(SHIPPED), default="freeform-0.05")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--keep", type=Path)
    parser.add_argument(
        "--any", type=Path, help="also the h-transform for any linear operator in this file"
    )
    args, setting = Setting.of(parser)
    h, card = checkpoint.load(located(SHIPPED[args.problem]), setting.prior)
    grid = setting.grid
    methods = [
        Method("DEFT-20, eta 1", h, DDIM(20, eta=1.0, grid=grid)),
        Method("DEFT-20, eta 0.85", h, DDIM(20, eta=0.85, grid=grid)),
        Method("DEFT-20, eta 0.5", h, DDIM(20, eta=0.5, grid=grid)),
        Method("DEFT-20, 2M", h, DPMSolver(20)),
        Method("DDNM+-20, eta 0.85", None, DDNMPlus(20, eta=0.85)),
        Method("DDNM+-100, eta 0.85", None, DDNMPlus(100, eta=0.85)),
    ]
    if args.any:
        other, _ = checkpoint.load(args.any, setting.prior)
        methods += [
            Method("any-20, eta 1", other, DDIM(20, eta=1.0, grid=grid)),
            Method("any-20, 2M", other, DPMSolver(20)),
            Method("any-100, eta 1", other, DDIM(100, eta=1.0, grid=grid)),
        ]
    results = evaluate(
        setting.prior,
        setting.problem(args.problem),
        setting.images(setting.config["test"]["split"], args.images),
        methods,
        out=args.out / args.problem,
        samples=1,
        seed=setting.config["seed"],
        reference=methods[0].label,
        weights=Weights(judge=NAME),
    )
    write_report(args.out / args.problem, title=f"natural-64: {args.problem}", card=card)
    if args.keep:
        args.keep.parent.mkdir(parents=True, exist_ok=True)
        with atomic(args.keep) as stream:
            stream.write((json.dumps(numbers(results), indent=1) + "\n").encode())
    print(results_table(results).markdown())
    print(difference_table(results).markdown())


if __name__ == "__main__":
    main()
