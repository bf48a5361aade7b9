"""Methods for protein motifs on the exact bed: how far the mean of their samples is from the exact
posterior mean.

    python benchmarks/protein_bed.py --out benchmarks/results/protein/bed.json

The setting is benchmarks/protein_setting.py. Every method takes 100 evaluations of the prior a
sample on one grid (replacement with time travel ten times as many), 200 samples for each of 8
problems. DPS is shown at four step sizes, since none is best in both the scaffold and the motif.
Twisted SMC (`TDS`) has the reconstruction guidance as proposal and as twist; its samples are the
weighted means of 32 systems for each of 4 problems, and one particle is the proposal alone.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from protein_setting import GRID, Bed, Judged, judge, judge_twisted, learned
from torch import Tensor

from deft.htransforms.base import HTransform, NoConditioning
from deft.htransforms.dps import DPS
from deft.htransforms.exact_chain import ExactChain
from deft.htransforms.gaussian_potential import GaussianPotential
from deft.likelihoods import Observation
from deft.posterior import Posterior
from deft.samplers.ddim import DDIM
from deft.samplers.replacement import Replacement
from deft.storage import provenance
from deft.storage.atomic import atomic

BED = Bed()
STEPS, SAMPLES, PROBLEMS = 100, 200, range(8)
ZETAS = (0.1, 0.3, 1.0, 3.0)
SMALL = Bed(length=16, first=5, rows=5, sigma_y=0.3)
PARTICLES, SYSTEMS, FEW = (1, 4, 16, 64), 32, range(4)


def guided(h_transform: HTransform, observation: Observation, samples: int) -> Tensor:
    """Samples of the ancestral sampler, given an h-transform."""
    posterior = Posterior(BED.prior, h_transform, observation)
    return DDIM(STEPS, eta=1.0, grid=GRID)(posterior, samples)


def replaced(resamplings: int, observation: Observation) -> Tensor:
    """Samples of replacement."""
    sampler = Replacement(STEPS, resamplings=resamplings, grid=GRID)
    return sampler(BED.prior, observation, SAMPLES)


def dps(zeta: float, observation: Observation) -> Tensor:
    """Samples of DPS with the published step."""
    return guided(DPS.published(zeta), observation, SAMPLES)


def rounded(found: Judged) -> dict[str, float]:
    return {name: float(f"{value:.4g}") for name, value in asdict(found).items()}


def row(name: str, found: dict[str, float], seconds: float) -> str:
    numbers = " | ".join(f"{value:.3g}" for value in found.values())
    return f"| {name} | {numbers} | {seconds:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    observation = BED.observations(PROBLEMS)
    short, short_facts = learned(BED, steps=300, batch_size=64)
    long, long_facts = learned(BED, steps=1500)
    methods: dict[str, Callable[[], Tensor]] = {
        "exact h": lambda: guided(ExactChain(BED.prior), observation, SAMPLES),
        "learned h": lambda: guided(long, observation, SAMPLES),
        "learned h, short": lambda: guided(short, observation, SAMPLES),
        **{f"DPS, zeta = {zeta:g}": partial(dps, zeta, observation) for zeta in ZETAS},
        "reconstruction guidance": lambda: guided(
            GaussianPotential.for_prior(BED.prior), observation, SAMPLES
        ),
        "replacement": lambda: replaced(1, observation),
        "replacement, 10 passes": lambda: replaced(10, observation),
        "unconditional": lambda: guided(NoConditioning(), observation, SAMPLES),
    }
    result: dict[str, object] = {
        "commit": provenance.commit(),
        "command": provenance.command(),
        "versions": provenance.versions(),
        "bed": asdict(BED),
        "steps": STEPS,
        "samples": SAMPLES,
        "problems": len(PROBLEMS),
        "training": {"learned h": long_facts, "learned h, short": short_facts},
    }
    print("| method | error | floor | bias | motif | variance ratio | CPU s |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    table: dict[str, dict[str, float]] = {}
    for name, draw in methods.items():
        began = time.process_time()
        x = draw()
        seconds = time.process_time() - began
        table[name] = rounded(judge(BED, observation, x))
        print(row(name, table[name], seconds), flush=True)
        table[name]["cpu_seconds"] = round(seconds, 1)
    result["methods"] = table
    for bed, label in ((BED, "TDS"), (SMALL, "TDS, small chain")):
        seen, found = bed.observations(FEW), dict[str, dict[str, float]]()
        for particles in PARTICLES:
            began = time.process_time()
            judged = judge_twisted(bed, seen, particles, SYSTEMS, STEPS)
            found[str(particles)] = rounded(judged)
            seconds = time.process_time() - began
            print(row(f"{label}, {particles} particles", found[str(particles)], seconds))
        result[label] = {"bed": asdict(bed), "systems": SYSTEMS, "particles": found}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with atomic(arguments.out) as file:
        file.write((json.dumps(result, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
