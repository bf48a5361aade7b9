"""How many calls of a prior behind an API a bank saves, at which loss.

    python benchmarks/studies/bank_calls.py --data DIGITS_FOLDER [--steps 150] [--seeds 3]

`digits-32` is served; h-transforms of 5 % of its size are trained for three operators: "asked"
calls the prior in every step, "bank" trains as long on a bank of a sixth as many answers, and
"bank, longer" half as long again on the same bank, which costs no call. Losses are those of 512
held-out draws, the same for all (a bank of their own). The ratio to "asked" is over operators and
seeds, where a seed changes the first weights, the draws of training and the bank; the standard
error is over seeds.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch
from torch import Tensor

import deft
from deft.noise import mix
from deft.priors.base import Prior
from deft.priors.remote import RemotePrior
from deft.problems import Problem
from deft.serving import running
from deft.storage import provenance
from deft.storage.atomic import atomic
from deft.studies.estimate import Estimate
from deft.training.bank import Bank
from deft.training.sources import Images, Source

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "recipes"))
from train_prior import READERS, as_float

PROBLEMS = {
    "inpainting": deft.problems.Inpainting(masks="freeform", sigma_y=0.05),
    "super-resolution": deft.problems.SuperResolution(factor=4, sigma_y=0.05),
    "deblurring": deft.problems.Deblurring(sigma_y=0.05),
}
FEWER = 6


def trained(
    prior: Prior, problem: Problem, source: Source, steps: int, batch_size: int, seed: int
) -> deft.LearnedHTransform:
    """An h-transform from the first weights of its seed."""
    torch.manual_seed(seed)
    h = deft.LearnedHTransform.for_prior(prior, fraction=0.05)
    deft.train(
        h,
        prior,
        deft.DenoisingScoreMatching(problem),
        source,
        steps=steps,
        batch_size=batch_size,
        learning_rate=2e-3,
        ema=0.98,
        seed=seed,
        progress=False,
    )
    return h


@torch.no_grad()
def loss(h: deft.LearnedHTransform, prior: Prior, problem: Problem, judge: Bank) -> float:
    """Over all held-out draws."""
    objective, found = deft.DenoisingScoreMatching(problem), list[Tensor]()
    for start in range(0, len(judge), 64):
        places = list(range(start, min(start + 64, len(judge))))
        noise = deft.Noise([mix(3, k) for k in places])
        found.append(objective.loss(h, prior, judge.batch(places, noise)).value)
    return float(torch.cat(found).mean())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/bank_calls.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    size, steps = arguments.batch_size, arguments.steps
    images = as_float(READERS["digits"](arguments.data, "train")[: arguments.images])
    held_out = as_float(READERS["digits"](arguments.data, "val")[:512])
    runs = []
    with running(deft.priors.load("digits-32"), wait=0) as (url, _):
        prior = RemotePrior(url)
        judge = Bank.build(prior, held_out, 512, seed=1, progress=False)
        for seed in range(arguments.seeds):
            counts = [prior.counts.signals]
            asked = {
                name: loss(
                    trained(prior, problem, Images(images, prior), steps, size, seed),
                    prior,
                    problem,
                    judge,
                )
                for name, problem in PROBLEMS.items()
            }
            counts.append(prior.counts.signals)
            few = (counts[1] - counts[0]) // FEWER
            bank = Bank.build(prior, images, few, seed=seed, progress=False)
            by_bank = {
                arm: {
                    name: loss(
                        trained(prior, problem, bank, length, size, seed), prior, problem, judge
                    )
                    for name, problem in PROBLEMS.items()
                }
                for arm, length in (("bank", steps), ("bank, longer", 3 * steps // 2))
            }
            counts.append(prior.counts.signals)
            runs.append(
                {
                    "seed": seed,
                    "evaluations": {
                        "asked": counts[1] - counts[0],
                        "bank": counts[2] - counts[1],
                    },
                    "losses": {"asked": asked, **by_bank},
                }
            )
            kept = {"steps": steps, "batch_size": size, "images": len(images), "runs": runs}
            ratios = {
                arm: {
                    "mean": (found := Estimate.mean([_ratio(run, arm) for run in runs])).value,
                    "standard_error": found.standard_error if len(runs) > 1 else None,
                    "by_problem": {
                        name: sum(
                            run["losses"][arm][name] / run["losses"]["asked"][name] for run in runs
                        )
                        / len(runs)
                        for name in PROBLEMS
                    },
                }
                for arm in by_bank
            }
            made = {"commit": provenance.commit()}
            text = json.dumps({**kept, "ratios": ratios, **made}, indent=1)
            arguments.out.parent.mkdir(parents=True, exist_ok=True)
            with atomic(arguments.out) as stream:
                stream.write(f"{text}\n".encode())
            print(json.dumps(runs[-1]), json.dumps(ratios), flush=True)


def _ratio(run: dict, arm: str) -> float:
    """The loss of an arm to that of asking, over the operators."""
    losses = run["losses"]
    return sum(losses[arm][name] / losses["asked"][name] for name in PROBLEMS) / len(PROBLEMS)


if __name__ == "__main__":
    main()
