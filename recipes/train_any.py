"""How the h-transforms for any linear operator are learned: one for each prior.

    python recipes/train_any.py benchmarks/quality/digits-any.yaml --data DIGITS_FOLDER \\
        --out runs/h-digits-any [--minutes 60]

Every signal of a batch is measured by an operator of another kind (`trained_on` of the YAML file),
with a noise level of its own. The prior is asked at the pivot, which depends on the measurement, so
that no bank of its evaluations serves. The run goes on from where it was stopped.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
import yaml
from train_h import LAW
from train_prior import as_float, read

from deft.htransforms.base import HTransform
from deft.htransforms.learned import LearnedHTransform
from deft.priors import zoo
from deft.priors.precision import settled
from deft.problems import from_card
from deft.training import chain, checkpoint
from deft.training.denoising import DenoisingScoreMatching
from deft.training.loop import train
from deft.training.sources import Images


def main() -> None:
    """Train, and save with the card."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, help="another length than the file's")
    parser.add_argument(
        "--initial",
        type=Path,
        help="go on from these weights (h.safetensors, or the state.safetensors of a run that was "
        "stopped) in a run of its own, at --learning-rate",
    )
    parser.add_argument("--learning-rate", type=float, help="another one than the file's")
    parser.add_argument("--point", default="pivot", choices=["x_t", "pivot", "matched"])
    parser.add_argument("--operators", default="any", choices=["one", "any"])
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    if not args.data.is_dir():
        parser.error(
            f"--data {args.data} is no folder; this recipe needs the data that "
            "recipes/train_prior.py describes"
        )
    torch.set_num_threads(args.threads)
    config = yaml.safe_load(args.config.read_text())
    plan, problem = config["any"], from_card(config["trained_on"])
    prior = zoo.load(config["prior"])
    prior.precision = precision = settled(prior, "auto", args.out)
    flip = config["data"] != "digits"
    images = Images(as_float(read(config["data"], args.data, "train")), prior, flip=flip)
    held_out = Images(as_float(read(config["data"], args.data, "val")[:500]), prior)
    torch.manual_seed(0)
    h: HTransform = LearnedHTransform.for_prior(
        prior, fraction=plan["fraction"], point=args.point, operators=args.operators
    )
    before = 0.0
    if args.initial is not None:
        ended = args.initial.name != "state.safetensors"
        load = checkpoint.load if ended else checkpoint.load_average
        found = load(args.initial, prior)
        h = (found[0] if isinstance(found, tuple) else found).trainable()
        before = chain.seconds_of(args.initial)
    steps, rate = args.steps or plan["steps"], args.learning_rate or plan["learning_rate"]
    result = train(
        h,
        prior,
        DenoisingScoreMatching(problem, times=LAW),
        images,
        steps=steps,
        batch_size=plan["batch_size"],
        learning_rate=rate,
        precision=precision,
        validation=held_out,
        validation_draws=500,
        validate_every=max(steps // 6, 1),
        out=args.out,
        save_every=250,
    )
    assert result.validation is not None
    facts = result.facts() | {
        "batch_size": plan["batch_size"],
        "learning_rate": rate,
        "recipe": "recipes/train_any.py",
        "seconds_before": round(before, 1),
    }
    card = {
        "prior_from": config["prior"],
        "problem": problem.card(),
        "training": facts,
        "metrics": result.validation.card(),
    }
    checkpoint.save(args.out / "h.safetensors", h, prior, card)
    size = sum(p.numel() for p in h.parameters())
    print(f"{size} parameters, {result.seconds:.0f} s", result.validation.table())


if __name__ == "__main__":
    main()
