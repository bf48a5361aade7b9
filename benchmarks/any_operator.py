"""One h-transform for any linear operator, beside specialists of equal size, DPS and DDNM+, on
operators of kinds that it was trained on and on kinds that it has never seen.

    python benchmarks/any_operator.py benchmarks/quality/digits-any.yaml --data DIGITS_FOLDER \\
        --any runs/h-digits-any/h.safetensors --specialists runs/h-digits-specialists \\
        --out runs/any-digits [--only rows-0.05] [--methods ddnm_plus] [--adapt] [--keep FILE]

`--any` is what recipes/train_any.py wrote, `--specialists` the folder of recipes/train_h.py for the
same YAML file; a problem without a specialist there has no such row. `--adapt` fine-tunes the first
on each of the last four problems by `deft adapt`, for as long as the file says, and measures that
too. DPS and DDNM+ are tuned on validation images (benchmarks/quality.py). The same command goes on
from where it was stopped. `--keep` writes the figures of the problems that are done to one file,
and prints them as a table: differences are paired, on the images that both have; coverage is that
of 90 % intervals of 50 random linear functionals (deft.metrics.calibration).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from quality import TUNABLE
from setting import Setting
from torch import Tensor

from deft.commands import adapt
from deft.metrics.calibration import coverage, crps, linear_functionals, ranks
from deft.noise import Noise
from deft.problems import Problem
from deft.samplers.ddim import DDIM
from deft.storage import provenance
from deft.storage.atomic import atomic
from deft.studies.evaluation import evaluate
from deft.studies.kept import read_results, read_samples
from deft.studies.method import Method
from deft.training import chain, checkpoint

UNSEEN = 4  # the last problems of the file
MEASURES = ("psnr_mean", "psnr_single", "patch_distance", "misfit", "evaluations", "seconds")


def adapted(setting: Setting, args: argparse.Namespace, problem: Problem, name: str) -> Path:
    """The h-transform for any operator after `deft adapt` on one problem."""
    out = args.out / f"adapted-{name}"
    if not (out / "h.safetensors").exists():
        images = args.out / "training-images.npy"
        if not images.exists():
            np.save(images, setting.images("train").numpy())
        adapt.run(
            h=args.any,
            problem=problem,
            images=images,
            out=out,
            minutes=setting.config["adapt"]["minutes"],
            value_range=(-1.0, 1.0),
            validation_share=0.01,
            flip=setting.config["data"] != "digits",
            resolved="",
        )
    return out / "h.safetensors"


def figures(folder: Path, test: Tensor, reference: str) -> list[dict[str, Any]]:
    """What is kept of each method of a problem."""
    results = read_results(folder)
    rows = results["methods"]
    ours = next(row for row in rows if row["label"] == reference)["per_image"]["psnr_mean"]
    found = []
    for row in rows:
        samples = read_samples(folder, row["label"], len(test))
        truth = test[: len(samples)]
        values = row["per_image"]["psnr_mean"]
        left = torch.tensor([a - b for a, b in zip(values, ours)], dtype=torch.float64)
        of, true = linear_functionals(samples, truth)
        held = coverage(ranks(of, true), samples.shape[1], (0.9,))
        score = crps(samples, truth).flatten(1).mean(1)
        found.append(
            {
                "method": row["label"],
                "images": len(samples),
                **{name: row["summary"].get(name) for name in MEASURES},
                "psnr_mean_difference": [
                    round(float(left.mean()), 4),
                    round(float(left.std() / len(left) ** 0.5), 4),
                ],
                "crps": [
                    round(float(score.mean()), 6),
                    round(float(score.std() / len(score) ** 0.5), 6),
                ],
                "coverage_90": [round(held.values[0], 4), round(held.standard_errors[0], 4)],
                "training_seconds": row.get("training_seconds"),
            }
        )
    return found


def table(kept: dict[str, list[dict[str, Any]]]) -> str:
    """The figures as Markdown."""
    lines = [
        "| | PSNR of the mean (dB) | less DEFT-any | patch distance (x 10^3) | misfit | CRPS | "
        "coverage of 90 % | evaluations |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, rows in kept.items():
        for row in rows:
            pair = row["psnr_mean_difference"]
            patch, held = row["patch_distance"], row["coverage_90"]
            far = f"{patch['value']:.1f} ± {patch['standard_error']:.1f}"
            lines.append(
                f"| {name}, {row['method']} ({row['images']}) | {row['psnr_mean']['value']:.2f} | "
                f"{pair[0]:+.2f} ± {pair[1]:.2f} | {far} | "
                f"{row['misfit']['value']:.3f} | "
                f"{row['crps'][0]:.4f} ± {row['crps'][1]:.4f} | "
                f"{100 * held[0]:.1f} ± {100 * held[1]:.1f} | {row['evaluations']['value']:.0f} |"
            )
    return "\n".join(lines)


def main() -> None:
    """Run the problems of a YAML file, one after the other."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--any", type=Path, required=True)
    parser.add_argument("--specialists", type=Path)
    parser.add_argument("--only", nargs="*", help="some of the problems")
    parser.add_argument(
        "--methods", nargs="*", default=["dps", "ddnm_plus"], help="of the tuned ones"
    )
    parser.add_argument("--adapt", action="store_true")
    parser.add_argument("--keep", type=Path, help="one file of figures")
    args, setting = Setting.of(parser)
    config, prior = setting.config, setting.prior
    test = setting.images(config["test"]["split"], config["test"]["count"])
    validation = setting.images(config["validation"]["split"], config["validation"]["count"])
    names = args.only or list(config["problems"])
    steps, eta = config["deft"]["steps"][0], config["deft"]["eta"]
    for name in names:
        problem, folder = setting.problem(name), args.out / name
        print(name, flush=True)
        methods = [
            method.method(
                prior, problem, validation, dict(config[method.key]), config["tuning"], folder
            )
            for method in TUNABLE
            if method.key in config and method.key in args.methods
        ]
        files = {}
        special = args.specialists and args.specialists / f"{name}.safetensors"
        if special and special.exists():
            files["specialist"] = special
        if args.adapt and name in list(config["problems"])[-UNSEEN:]:
            files["adapted"] = adapted(setting, args, problem, name)
        files["any"] = args.any
        for label, file in files.items():
            h, card = checkpoint.load(file, prior)
            sampler = DDIM(steps=steps, eta=eta, grid=setting.grid)
            methods.append(
                Method(
                    f"DEFT-{label}-{steps}",
                    h.eval(),
                    sampler,
                    training_seconds=chain.seconds(card),  # with what it began from
                )
            )
        evaluate(
            prior,
            problem,
            test,
            methods,
            out=folder,
            samples=config["samples"],
            seed=config["seed"],
            reference=methods[-1].label,
        )
    done = {
        name: figures(args.out / name, test, f"DEFT-any-{steps}")
        for name in config["problems"]
        if (args.out / name / "results.json").exists()
    }
    print(table(done))
    if args.keep:
        facts = {
            "config": args.config.name,
            "prior": prior.name,
            "noise": Noise.generator,
            "commit": provenance.commit(),
            "machine": provenance.machine("cpu"),
            "problems": done,
        }
        args.keep.parent.mkdir(parents=True, exist_ok=True)
        with atomic(args.keep) as stream:
            stream.write((json.dumps(facts, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
