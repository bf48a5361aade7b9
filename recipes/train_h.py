"""How the h-transforms of the quality benchmark are learned: one for each problem of its YAML file,
from one bank of prior evaluations.

    python recipes/train_h.py benchmarks/quality/digits.yaml --data DIGITS_FOLDER --out \\
        runs/h-digits [--only box-0.05]

What the prior says of a noisy image does not depend on the measurement, so that it is computed once
(the bank) and every h-transform learns from it, with fresh operators and measurements in every step
(`slopes` in the file's section `h`: what its errors still share with x_t is then measured on so
many images, and taken out). One that asks the prior at the pivot (`--initial` an h-transform for
any operator) reads the images themselves: what the prior says there depends on the measurement, and
no bank serves. Each run keeps its best weights by the loss on held-out images and stops when that
no longer falls (on digits, a fixed box is learned by heart after some 8,000 steps: 768,000 views of
55,000 images). Problems without noise start from the h-transform of the same problem with noise.
Every run goes on from where it was stopped.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
import yaml
from draws import drawn
from train_prior import as_float, moved, read

from deft.htransforms.base import HTransform
from deft.htransforms.calibrated import Calibrated
from deft.htransforms.learned import LearnedHTransform
from deft.priors import zoo
from deft.priors.precision import settled
from deft.problems import from_card
from deft.training import checkpoint
from deft.training.bank import Bank
from deft.training.calibrate import calibrate
from deft.training.denoising import DenoisingScoreMatching, TimeLaw
from deft.training.loop import train
from deft.training.sources import Images

LAW = TimeLaw(mean=-2.0, std=3.0, uniform=0.2)


def law(plan: Mapping[str, Any]) -> TimeLaw:
    """At which noise levels h learns: `times` of the file's section `h`, or the levels that suit
    most images.
    """
    return TimeLaw(**plan["times"]) if "times" in plan else LAW


def main() -> None:
    """Build the bank, then train."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="*")
    parser.add_argument(
        "--initial",
        type=Path,
        help="earlier weights to go on from: a folder of PROBLEM.safetensors, or one file for all "
        "problems",
    )
    parser.add_argument(
        "--fraction", type=float, help="another size than the file's, for the comparison of sizes"
    )
    parser.add_argument(
        "--steps", type=int, help="another length than the file's, which the card then records"
    )
    parser.add_argument(
        "--precision",
        default="auto",
        choices=["fp32", "bf16", "auto"],
        help="of the prior's network and of the training; auto measures which is faster here",
    )
    parser.add_argument(
        "--prior-draws",
        type=int,
        help="train on so many draws of the prior instead of on the data: what remains is then no "
        "error of the prior",
    )
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    if not args.data.is_dir():
        parser.error(
            f"--data {args.data} is no folder; this recipe needs the data that "
            "recipes/train_prior.py describes"
        )
    if args.initial and not args.initial.exists():
        parser.error(
            f"--initial {args.initial} does not exist; it is a folder of PROBLEM.safetensors, or "
            "one file"
        )
    torch.set_num_threads(args.threads)
    config = yaml.safe_load(args.config.read_text())
    plan = config["h"]
    prior = zoo.load(config["prior"])
    prior.precision = precision = settled(prior, args.precision, args.out)
    training, shift = as_float(read(config["data"], args.data, "train")), plan.get("shift", 0)
    if args.prior_draws:
        training = drawn(prior, args.prior_draws, args.out, "draws", 50, 11)
        prior.value_range = (
            None  # its draws pass the ends of it a little, and are taken as they are
        )
    if shift:  # of few images, copies in other places
        generator = torch.Generator().manual_seed(0)
        training = torch.cat([training, *(moved(training, shift, generator) for _ in range(3))])
    images = Images(training, prior, flip=config["data"] != "digits")
    held_out = Images(as_float(read(config["data"], args.data, "val")[:500]), prior)
    if args.prior_draws:
        images, held_out = Images(training[500:], prior), Images(training[:500], prior)
    times, checked = law(plan), plan.get("validation", 1000)

    @cache
    def banks() -> tuple[Bank, Bank]:
        """What the prior says at x_t, of the images and of those held out."""
        begin = time.time()
        bank = Bank.build(prior, images, plan["bank"], times, seed=0, out=args.out / "bank")
        held = Bank.build(prior, held_out, checked, times, seed=1, out=args.out / "bank-validation")
        print(f"bank: {time.time() - begin:.0f} s", flush=True)
        return bank, held

    borrowed = config["deft"].get(
        "h_of", {}
    )  # problems that the h-transform of another is used for
    for name in args.only or [name for name in config["problems"] if name not in borrowed]:
        problem = from_card(config["problems"][name])
        h = LearnedHTransform.for_prior(
            prior,
            fraction=args.fraction or plan["fraction"],
            patch=plan.get("patch"),
            fine=plan.get("fine", 0),
        )
        steps, rate = args.steps or plan["steps"], plan["learning_rate"]
        start = args.out / f"{name.removesuffix('-0')}-0.05.safetensors"
        earlier: dict[str, Any] = {}
        initial = (
            args.initial / f"{name}.safetensors"
            if args.initial and args.initial.is_dir()
            else args.initial
        )
        if initial and initial.exists():
            h, earlier = checkpoint.load(initial, prior)  # type: ignore[assignment]
            h = h.h_transform if isinstance(h, Calibrated) else h  # type: ignore[assignment]
            rate = rate / 2
        elif name.endswith("-0") and start.exists():
            h, earlier = checkpoint.load(start, prior)  # type: ignore[assignment]
            steps, rate = plan["continued_steps"], rate / 2
        source, validation = (images, held_out) if h.asks_elsewhere else banks()
        result = train(
            h,
            prior,
            DenoisingScoreMatching(
                problem, times=times, measurements=plan.get("measurements", {}).get(name)
            ),
            source,
            steps=steps,
            batch_size=plan["batch_size"],
            learning_rate=rate,
            precision=precision,
            validation=validation,
            validation_draws=checked,
            validate_every=max(steps // 20, 1),
            patience=5,
            out=args.out / name,
            save_every=500,
        )
        assert result.validation is not None
        facts: dict[str, Any] = result.facts()
        for what in ("steps", "signals", "seconds"):  # of what it went on from, too
            facts[what] += earlier.get("training", {}).get(what, 0)
        facts |= {
            "batch_size": plan["batch_size"],
            "learning_rate": rate,
            "bank": None if h.asks_elsewhere else plan["bank"],
            "recipe": "recipes/train_h.py",
        }
        saved: HTransform = h
        if "slopes" in plan:
            begin = time.time()
            saved = calibrate(
                h,
                prior,
                problem,
                training[:: max(len(training) // plan["slopes"], 1)][: plan["slopes"]],
            )
            facts |= {
                "seconds": facts["seconds"] + time.time() - begin,
                "slopes_from_images": plan["slopes"],
            }
        card = {
            "prior_from": config["prior"],
            "problem": problem.card(),
            "training": facts,
            "metrics": result.validation.card(),
        }
        checkpoint.save(args.out / f"{name}.safetensors", saved, prior, card)
        print(
            name,
            f"{h.num_parameters} parameters, {result.seconds:.0f} s",
            result.validation.table(),
            sep="\n",
            flush=True,
        )


if __name__ == "__main__":
    main()
