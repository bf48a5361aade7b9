"""One h-transform for any linear operator, beside specialists of equal size, DPS and DDNM+, on
operators of kinds that it was trained on and on kinds that it has never seen.

    python benchmarks/any_operator.py benchmarks/quality/digits-any.yaml --data DIGITS_FOLDER \\
        --any runs/h-digits-any/h.safetensors --specialists runs/h-digits-specialists \\
        --out runs/any-digits [--only rows-0.05] [--adapt]

`--any` is what recipes/train_any.py wrote, `--specialists` the folder of recipes/train_h.py for the
same YAML file; a problem without a specialist there has no such row. `--adapt` fine-tunes the first
on each of the last four problems by `deft adapt`, for as long as the file says, and measures that
too. DPS and DDNM+ are tuned on validation images (benchmarks/quality.py). The same command goes on
from where it was stopped. benchmarks/tables.py makes tables of what it leaves.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from quality import TUNABLE
from setting import Setting

from deft.commands import adapt
from deft.problems import Problem
from deft.samplers.ddim import DDIM
from deft.studies.evaluation import evaluate
from deft.studies.method import Method
from deft.training import checkpoint

UNSEEN = 4  # the last problems of the file


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


def main() -> None:
    """Run the problems of a YAML file, one after the other."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--any", type=Path, required=True)
    parser.add_argument("--specialists", type=Path)
    parser.add_argument("--only", nargs="*", help="some of the problems")
    parser.add_argument("--adapt", action="store_true")
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
            if method.key in config
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
            training = card["training"]
            assert isinstance(training, dict)
            methods.append(
                Method(
                    f"DEFT-{label}-{steps}",
                    h.eval(),
                    sampler,
                    training_seconds=float(training["seconds"]),
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


if __name__ == "__main__":
    main()
