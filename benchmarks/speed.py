"""DEFT with 8 evaluations beside DPS with 100 and 1,000, and beside deepinv's and azula's own
methods with 100: processor time and quality, in one run.

    pip install -c constraints.txt azula==0.11.1 'deft-diffusion[deepinv]'
            in an environment of its own: they bring torchvision
    python benchmarks/speed.py --data DIGITS_FOLDER [--out benchmarks/results/speed.json] \\
        [--repeats 5] [--images 4] [--samples 2]
    python benchmarks/speed.py --prior natural-64 --data NATURAL_FOLDER --images 1 \\
        --validation 1 --out benchmarks/results/speed-natural.json

    ratio = (processor seconds of the method) / (processor seconds of DEFT), within one repeat

Each repeat takes other test images, and every method takes its turn on them before the next repeat
begins, so that what else the machine does meets all alike. The step size of each DPS is tuned on
validation images by the PSNR of the mean, for its number of steps, from 1/2, 1 and 2 times
that of benchmarks/quality.py, and more where the largest is best; deepinv's weight for the same
problems by the same factors. Digits with a box, photographs with strokes, both with 4x
super-resolution, sigma_y = 0.05, single precision, one thread. Differences in PSNR and CRPS are
paired over images. Leaves one JSON file.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import peers
import torch
from setting import READERS, as_float
from torch import Tensor

from deft.htransforms.dps import DPS
from deft.htransforms.learned import LearnedHTransform
from deft.likelihoods import Observation
from deft.loading import load
from deft.metrics.calibration import crps
from deft.metrics.image import psnr
from deft.noise import Noise, mix
from deft.priors import zoo
from deft.priors.base import Prior
from deft.problems import Inpainting
from deft.samplers.ddim import DDIM
from deft.samplers.grids import UniformTime
from deft.samplers.unipc import UniPC

LEARNED = {
    "digits-32": {"box-0.05": "box", "sr4-0.05": "super-resolution"},
    "natural-64": {"freeform-0.05": "inpainting", "sr4-0.05": "super-resolution"},
}
READS = {"digits-32": "digits", "natural-64": "natural"}
ZETA = {"natural-64": {"freeform-0.05": 0.72, "sr4-0.05": 0.72}}  # of benchmarks/quality.py
PER_ZETA = 29.0  # deepinv's weight over ours, as found on digits
FACTORS, MOST = (0.5, 1.0, 2.0), 16.0
PEERS = ("azula DPS", "deepinv DPS", "deepinv PiGDM", "deepinv DiffPIR")
SEED = 0

Draw = Callable[[Observation, int], Tensor]


def deft(prior: Prior, h: LearnedHTransform, observation: Observation, samples: int) -> Tensor:
    """(image, sample, ...) of eight evaluations."""
    sampler = UniPC(8)
    return sampler.draw(prior, samples, observation=observation, h_transform=h, seed=SEED).x_0


def dps(prior: Prior, steps: int, zeta: float, observation: Observation, samples: int) -> Tensor:
    """(image, sample, ...) of DPS as published, whose step size is zeta."""
    sampler = DDIM(steps, eta=1.0, grid=UniformTime())
    h = DPS.published(zeta)
    return sampler.draw(prior, samples, observation=observation, h_transform=h, seed=SEED).x_0


def peer(prior: Prior, label: str, name: str, observation: Observation, samples: int) -> Tensor:
    """(image, sample, ...) of another library's method."""
    torch.manual_seed(SEED)
    made = peers.COMPARISONS[label][0](prior, name, 1.0)
    drawn = made.peer(observation.repeat(samples), None).detach()
    return drawn.unflatten(0, (len(observation), samples))


def tuned(run: Callable[[float], Draw], observation: Observation, images: Tensor) -> dict[str, Any]:
    """The factor with the highest PSNR of the mean, and what each gave."""
    found: dict[float, float] = {}
    asked = list(FACTORS)
    while asked:
        factor = asked.pop(0)
        mean = run(factor)(observation, 2).mean(1)
        found[factor] = round(float(psnr(mean, images, 2.0).mean()), 3)
        print("tuning", factor, found[factor], flush=True)
        best = max(found, key=lambda factor: found[factor])
        if not asked and best == max(found) < MOST:
            asked.append(2 * best)
    return {"factor": max(found, key=lambda factor: found[factor]), "psnr_mean": found}


def summary(rows: list[dict[str, Any]], base: list[dict[str, Any]]) -> dict[str, Any]:
    """Ratios of time by repeat; quality, and paired differences to DEFT (method minus DEFT)."""
    ratios = [mine["seconds"] / other["seconds"] for mine, other in zip(rows, base, strict=True)]
    result: dict[str, Any] = {
        "seconds": [round(row["seconds"], 3) for row in rows],
        "ratio": {
            "median": round(median(ratios), 2),
            "least": round(min(ratios), 2),
            "largest": round(max(ratios), 2),
        },
    }
    if not all(row["finite"] for row in rows):
        return result | {"diverged": "samples that are not finite"}
    for measure in ("psnr_sample", "psnr_mean", "crps"):
        mine = torch.cat([row[measure] for row in rows])
        other = torch.cat([row[measure] for row in base])
        result[measure] = peers.estimate(mine) | {"difference": peers.estimate(mine - other)}
    return result


def measured(draw: Draw, observation: Observation, samples: int, images: Tensor) -> dict[str, Any]:
    """Seconds and quality of one turn."""
    start = time.process_time()
    drawn = draw(observation, samples)
    seconds = time.process_time() - start
    if not bool(drawn.isfinite().all()):
        return {"seconds": seconds, "finite": False}
    single, mean = peers.quality(drawn, images)
    score = crps(drawn.flatten(2), images.flatten(1)).mean(1)
    return {
        "seconds": seconds,
        "finite": True,
        "psnr_sample": single,
        "psnr_mean": mean,
        "crps": score,
    }


def methods(
    prior: Prior, h: LearnedHTransform, name: str, validation: Tensor
) -> tuple[dict[str, Draw], dict[str, Any]]:
    """What is compared on a problem, and how its step sizes were found."""
    seeds = [mix(SEED, 9, i) for i in range(len(validation))]
    observation = peers.PROBLEMS[name].draw(validation, Noise(seeds))
    draws: dict[str, Draw] = {"DEFT, 8": partial(deft, prior, h)}
    tuning: dict[str, Any] = {}
    for steps in (100, 1000):
        zeta = peers.ZETA[name]

        def run(factor: float, steps: int = steps, zeta: float = zeta) -> Draw:
            return partial(dps, prior, steps, factor * zeta)

        tuning[f"DPS, {steps}"] = tuned(run, observation, validation)
        draws[f"DPS, {steps}"] = run(tuning[f"DPS, {steps}"]["factor"])
    for label, table in (("azula DPS", peers.ZETA), ("deepinv DPS", peers.WEIGHT)):
        usual = table[name]

        def theirs(
            factor: float,
            label: str = label,
            table: dict[str, float] = table,
            usual: float = usual,
        ) -> Draw:
            def draw(observation: Observation, samples: int) -> Tensor:
                table[name] = factor * usual
                return peer(prior, label, name, observation, samples)

            return draw

        tuning[label] = tuned(theirs, observation, validation)
        draws[f"{label}, 100"] = theirs(tuning[label]["factor"])
    for label in PEERS[2:]:
        draws[f"{label}, 100"] = partial(peer, prior, label, name)
    return draws, tuning


def main() -> None:
    """Run every method in turn, on each problem."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prior", choices=LEARNED, default="digits-32")
    parser.add_argument("--data", type=Path, required=True, help="the folder of its images")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/speed.json"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--images", type=int, default=4, help="in each repeat")
    parser.add_argument("--samples", type=int, default=2)
    parser.add_argument("--validation", type=int, default=2, help="images that tune step sizes")
    args = parser.parse_args()
    torch.set_num_threads(1)
    read = READERS[READS[args.prior]]
    test, validation = (
        as_float(read(args.data, "test")),
        as_float(read(args.data, "val")[: args.validation]),
    )
    prior = zoo.load(args.prior)
    peers.PROBLEMS["freeform-0.05"] = Inpainting("freeform", 0.05)
    for name, zeta in ZETA.get(args.prior, {}).items():
        peers.ZETA[name], peers.WEIGHT[name] = zeta, zeta * PER_ZETA
    result: dict[str, Any] = {
        "command": f"python benchmarks/speed.py --prior {args.prior} --data FOLDER "
        f"--repeats {args.repeats} --images {args.images} --samples {args.samples} "
        f"--validation {args.validation}",
        "prior": args.prior,
        "repeats": args.repeats,
        "images": args.images,
        "samples": args.samples,
        "versions": {
            name: importlib.metadata.version(name) for name in ("torch", "deepinv", "azula")
        },
        "problems": {},
    }
    for name, kind in LEARNED[args.prior].items():
        h = load(f"h-{args.prior}-{kind}", prior=prior).h
        draws, tuning = methods(prior, h, name, validation)
        rows: dict[str, list[dict[str, Any]]] = {label: [] for label in draws}
        for repeat in range(args.repeats):
            images = test[repeat * args.images :][: args.images]
            seeds = [mix(SEED, 6, repeat * args.images + i) for i in range(len(images))]
            observation = peers.PROBLEMS[name].draw(images, Noise(seeds))
            for label, draw in draws.items():
                rows[label].append(measured(draw, observation, args.samples, images))
                print(name, repeat, label, round(rows[label][-1]["seconds"], 2), flush=True)
        base = rows["DEFT, 8"]
        result["problems"][name] = {
            "tuning": tuning,
            "methods": {label: summary(found, base) for label, found in rows.items()},
        }
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
