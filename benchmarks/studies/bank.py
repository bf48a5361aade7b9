"""How much a bank of prior evaluations saves: the same training step with the prior evaluated, with
its stored evaluation, and with a quarter of the evaluations and four measurements of each.

    python benchmarks/studies/bank.py [--prior digits-32] [--fraction 0.05] [--batch-size 32] \\
        [--repeats 20] [--threads 1]

One process, the three interleaved, processor time; prints the median seconds of each, the ratios to
the first (for the bank with quartiles), and the cost of building the bank.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import torch

import deft
from deft.noise import Noise
from deft.priors.zoo import load
from deft.training.bank import Bank
from deft.training.denoising import DenoisingScoreMatching
from deft.training.sources import Images, Source


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prior", default="digits-32")
    parser.add_argument("--fraction", type=float, default=0.05)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    size = arguments.batch_size

    prior = load(arguments.prior).frozen()
    torch.manual_seed(0)
    h = deft.LearnedHTransform.for_prior(prior, fraction=arguments.fraction)
    objective = DenoisingScoreMatching(deft.problems.Inpainting(sigma_y=0.05))
    images = Images(torch.rand(4 * size, *prior.event_shape) * 2 - 1, prior)
    began = time.process_time()
    bank = Bank.build(prior, images, 4 * size, batch_size=size, progress=False)
    build = (time.process_time() - began) / 4
    optimiser = torch.optim.AdamW(h.parameters())

    fourth = DenoisingScoreMatching(objective.problem, per_evaluation=4)

    def step(
        source: Source,
        k: int,
        size: int = size,
        objective: DenoisingScoreMatching = objective,
    ) -> float:
        began = time.process_time()
        batch = source.batch(
            [i % len(source) for i in range(k, k + size)], Noise(range(k, k + size))
        )
        objective.loss(h, prior, batch).value.mean().backward()
        optimiser.step()
        optimiser.zero_grad()
        return time.process_time() - began

    seconds: dict[str, list[float]] = {"prior": [], "bank": [], "several": []}
    for repeat in range(-2, arguments.repeats):
        pair = {
            "prior": step(images, repeat * size),
            "bank": step(bank, repeat * size),
            "several": step(images, repeat * size, max(size // 4, 1), fourth),
        }
        if repeat >= 0:
            for name, value in pair.items():
                seconds[name].append(value)
    ratios = [a / b for a, b in zip(seconds["prior"], seconds["bank"])]
    low, middle, high = statistics.quantiles(ratios, n=4)
    result = {
        "prior": prior.name,
        "prior_parameters": prior.num_parameters,
        "h_parameters": h.num_parameters,
        "batch_size": size,
        "threads": torch.get_num_threads(),
        "seconds_with_prior": statistics.median(seconds["prior"]),
        "seconds_with_bank": statistics.median(seconds["bank"]),
        "seconds_with_four_measurements_of_a_quarter": statistics.median(seconds["several"]),
        "ratio": middle,
        "quartiles": [low, high],
        "seconds_to_build_per_batch": build,
        "bytes_per_evaluation": bank.entries.dtype.itemsize,
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
