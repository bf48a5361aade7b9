"""Photographs larger than the prior behind a blur whose kernel crosses the borders of tiles.

    python benchmarks/studies/tile_borders.py --data TEST_IMAGES_FOLDER --out runs/tile-borders

The middle 192 x 128 of three Kodak photographs reduced by area to 384 x 256, blurred by a Gaussian
mirrored at the borders, with sigma_y = 0.05: 13 x 13 places with a standard deviation of 2.5, which
reach less far than the 8 places that a tile has beyond a cut, or 31 x 31 with one of 6. No
h-transform that ships was trained for it: an untrained one asks the prior at the pivot, the same
for both. The whole picture is measured by the blur of the whole picture. A tile by itself is a crop
of that measurement, which knows nothing of what lies beyond: it is taken for the blur of a mirrored
tile, as the borders of pictures are, blended or cut in the middle of the overlaps.

PSNR of single samples is told within four places of those cuts, and elsewhere. The misfit is of the
whole measurement; its square is compared at the same places, in units of sigma_y^2.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tiles import (
    OVERLAP,
    SIGMA_Y,
    TILE,
    apart,
    drawn,
    gradient_energy,
    mean_and_error,
    near_cuts,
    photograph,
    seams,
    whole,
)
from torch import Tensor

import deft
from deft.htransforms.learned import LearnedHTransform
from deft.loading import Loaded
from deft.metrics.image import misfit
from deft.noise import Noise, mix
from deft.problems import linear
from deft.problems.kernels import GaussianKernels
from deft.storage.atomic import atomic

PICTURES, SAMPLES = (5, 15, 23), 2
KERNELS = {"narrow": (13, 2.5), "wide": (31, 6.0)}


def main() -> None:
    """Draw, or go on, and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    loaded = deft.load("h-natural-64-super-resolution")  # its prior and its sampler
    torch.manual_seed(0)
    h = LearnedHTransform((3, TILE, TILE), loaded.prior.scale, point="pivot").eval()
    loaded = replace(loaded, h=h)
    results = {name: of(loaded, args.data, args.out / name, name) for name in KERNELS}
    settings = {"overlap": OVERLAP, "tile": TILE, "sigma_y": SIGMA_Y, "pictures": PICTURES}
    settings |= {"kernels": KERNELS, "samples": SAMPLES}
    args.out.mkdir(parents=True, exist_ok=True)
    with atomic(args.out / "results.json") as out:
        out.write(json.dumps({"settings": settings, "results": results}, indent=1).encode())


def of(loaded: Loaded, data: Path, folder: Path, name: str) -> dict[str, Any]:
    """What is measured with one kernel."""
    made = linear.Deblurring(GaussianKernels(*KERNELS[name]), "reflect", SIGMA_Y)
    found: dict[str, list[Tensor]] = {"whole": [], "apart": [], "cut": []}
    seen, truths = [], []
    for number in PICTURES:
        truth = photograph(data, number, "384x256")[..., 64:192, 96:288].contiguous()
        observed = made.draw(truth, Noise([mix(0, 4, number)]))
        truths.append(truth)
        seen.append(observed)
        for method, draw in (("whole", whole), ("apart", apart)):
            parts = []
            for j in range(SAMPLES):
                seed = mix(0, 5, number, j)
                x, took = drawn(
                    folder,
                    f"{method}-{number:02d}-{j}",
                    lambda draw=draw, seed=seed, at=(observed, truth): draw(loaded, *at, seed),
                )
                print(name, method, number, j, f"{took:.0f} s", flush=True)
                parts.append(x)
            for label, one in zip(("apart", "cut") if method == "apart" else ("whole",), range(2)):
                found[label].append(torch.stack(parts)[:, one])
    truth = torch.cat(truths)
    near = near_cuts(truth)
    results: dict[str, Any] = {}
    base: dict[str, Tensor] = {}
    for label, each in found.items():
        x = torch.stack(each)
        error = (x - truth[:, None]).square()
        left = torch.stack(
            [
                observed.take([0] * len(part)).residual(part).square()
                for part, observed in zip(each, seen)
            ]
        )
        cell = {
            "psnr_near_cuts": decibels(error[..., near]),
            "psnr_elsewhere": decibels(error[..., ~near]),
            "misfit": torch.stack(
                [misfit(part, y.take([0] * len(part))).mean() for part, y in zip(each, seen)]
            ),
            "residual_near_cuts": left[..., near].flatten(1).mean(1) / SIGMA_Y**2,
            "residual_elsewhere": left[..., ~near].flatten(1).mean(1) / SIGMA_Y**2,
        }
        base = base or cell
        results[label] = {
            **{key: mean_and_error(value) for key, value in cell.items()},
            "whole_less_it": {
                key: mean_and_error(base[key] - value) for key, value in cell.items()
            },
            "seams_of_error": seams(gradient_energy((x - truth[:, None]).flatten(0, 1))),
        }
    return results


def decibels(error: Tensor) -> Tensor:
    """PSNR from squared errors, one for each picture, on [-1, 1]."""
    return 10 * (4 / error.flatten(1).mean(1)).log10()


if __name__ == "__main__":
    main()
