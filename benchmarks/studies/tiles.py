"""Photographs larger than the prior: scratches removed, and 4x super-resolution, by tiles.

    python benchmarks/studies/tiles.py --data TEST_IMAGES_FOLDER --out runs/tiles

Kodak photographs (TEST_IMAGES_FOLDER/kodak24/kodimNN.png), reduced by area to 384 x 256 and at
768 x 512, measured as wholes with sigma_y = 0.05, by the prior natural-64 of 64 x 64 and the
h-transforms that ship for it, which were trained at that size. The strokes of the scratches are as
wide as in training. Compared with tiles sampled apart (a posterior sample of each tile's own crop
of the measurement, blended by the same windows) and with interpolation. Photographs, tiles and
seeds are fixed below.

    E(d) = mean over the lines k (L - overlap) + d, in both directions, of the squared difference
           across the line

is the gradient energy on a grid of lines, d = 0 where tiles begin, d = overlap where the ones
before end, d = overlap / 2 in the middle between. Its `rank` is the share of the other offsets with
a lower figure; within 0.025 and 0.975 nothing tells the grid of the tiles from any other. It is
asked of the samples, of their errors, of the photographs, which have ranks of their own, and,
without the photographs, of the samples' figure over the photographs' (`seams_over_truth`) and of
the difference of two samples; `middle_over_others` is the figure in the middle between
over the mean of those that it is compared with. At 4x, where every fourth line lies between two
averages, the other offsets are those that differ by multiples of 4.

`psnr_mean` is of the mean of the samples, `psnr_posterior_mean` of the mean of infinitely many: the
variance of the samples over their number is taken from the squared error. Tiles apart that are
blended are means of two samples in half of the picture; those cut in the middle of the overlaps
(`cut`) are samples, and `as_apart` are whole samples blended in the same way, each tile of another
one. `whole_less_it` is the difference in PSNR of the first samples of each picture, with one seed.

Samples are kept in OUT; the same command goes on from there. Leaves `OUT/results.json` and
`OUT/SIZE-PROBLEM.jpg`.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

import deft
from deft.likelihoods import GaussianLikelihood, Observation
from deft.loading import Loaded
from deft.metrics.calibration import coverage, crps, ranks, uncertain
from deft.metrics.distribution import patch_distance
from deft.metrics.image import misfit, psnr
from deft.noise import Noise, mix
from deft.operators.blur.reflect import ReflectBlur
from deft.operators.inpainting import Inpainting
from deft.operators.super_resolution import SuperResolution
from deft.posterior import Posterior
from deft.priors.tiles import Cut, Layout, Tiles
from deft.problems import linear
from deft.problems.base import Problem
from deft.problems.free_form_masks import FreeFormMasks
from deft.reports import figure
from deft.storage.atomic import atomic

SIZES = {"384x256": (256, 384), "768x512": (512, 768)}
PICTURES = {"384x256": (5, 15, 23), "768x512": (23,)}
OVERLAP, TILE, SIGMA_Y = 16, 64, 0.05
_STROKES = (0.06 * TILE, 0.16 * TILE)  # in places, as the masks of training have them
NAMES = {"scratches": "h-natural-64-inpainting", "4x": "h-natural-64-super-resolution"}


def photograph(data: Path, number: int, size: str) -> Tensor:
    """(1, 3, height, width) in [-1, 1]."""
    height, width = SIZES[size]
    with Image.open(data / "kodak24" / f"kodim{number:02d}.png") as opened:
        image = opened.convert("RGB")
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BOX)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 127.5 - 1


def problem(name: str, size: str) -> Problem:
    """The problem of the whole picture."""
    if name == "4x":
        return linear.SuperResolution(4, sigma_y=SIGMA_Y)
    thin, wide = (width / min(SIZES[size]) for width in _STROKES)
    return linear.Inpainting(FreeFormMasks(0.2, 0.3, (thin, wide)), SIGMA_Y)


def whole(
    loaded: Loaded, observed: Observation, truth: Tensor, seed: int, layout: Layout = "moving"
) -> Tensor:
    """A sample of the whole picture, (1, *event)."""
    tiled = loaded.tiled(truth.shape[1:], overlap=OVERLAP, layout=layout)
    posterior = Posterior(tiled.prior, tiled.h, observed)
    return tiled.sampler(posterior, 1, seed=[seed])[0]


def still(truth: Tensor) -> Iterator[Cut]:
    """The tiles of a picture, where they do not move."""
    tiles = Tiles(tuple(truth.shape[1:]), (3, TILE, TILE), OVERLAP, layout="fixed")
    return tiles.cuts(1, truth, torch.zeros(1))


def apart(loaded: Loaded, observed: Observation, truth: Tensor, seed: int) -> Tensor:
    """A sample of each tile by itself: blended by the windows, then the same ones cut in the middle
    of each overlap, (2, *event).
    """
    both = truth.new_zeros(2, *truth.shape[1:])
    for place, cut in enumerate(still(truth)):
        posterior = Posterior(loaded.prior, loaded.h, cropped(observed, cut, truth))
        seeds = [mix(seed, 7, place, i) for i in range(len(cut))]
        drawn = loaded.sampler(posterior, 1, seed=seeds, batch_size=16)[:, 0]
        cut.add(both[:1], drawn)
        for own, here, sample in zip(*owned(cut, both[1:]), drawn):
            here.copy_(torch.where(own, sample, here))
    return both


def owned(cut: Cut, pictures: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """For each tile, which of its places lie before the middle of the overlaps, and the tile as a
    view of the pictures.
    """
    own, views = [], []
    for (top, along_y), (left, along_x) in cut.places:
        own.append((along_y > 0.5)[:, None] & (along_x > 0.5))
        views.append(pictures[..., top : top + TILE, left : left + TILE])
    return own, views


def as_apart(samples: Tensor) -> Tensor:
    """Whole samples blended as tiles apart are: every tile takes another one than its neighbours,
    so that as much of the picture is the mean of two independent samples.
    """
    blended, n = torch.zeros_like(samples), len(samples)
    for cut in still(samples[:1]):
        stride = TILE - OVERLAP
        colour = [
            2 * (-(-top // stride) % 2) + -(-left // stride) % 2
            for (top, _), (left, _) in cut.places
        ]
        if n < 4:  # neighbours at corners may share a sample
            colour = [(c // 2 + c) % 2 for c in colour]
        for j in range(n):
            chosen = [
                samples[(j + c) % n][:, top : top + TILE, left : left + TILE]
                for c, ((top, _), (left, _)) in zip(colour, cut.places)
            ]
            cut.add(blended[j : j + 1], torch.stack(chosen))
    return blended


def cropped(observed: Observation, cut: Any, truth: Tensor) -> Observation:
    """The measurements of some tiles, as if they were pictures: offsets are multiples of 4, and a
    blur is of a tile that is mirrored at its borders.
    """
    operator = observed.operator
    if isinstance(operator, ReflectBlur):
        return Observation(cut.of(observed.y), GaussianLikelihood(operator, SIGMA_Y))
    if isinstance(operator, Inpainting):
        return Observation(
            cut.of(observed.y), GaussianLikelihood(Inpainting(cut.of(operator.mask)), SIGMA_Y)
        )
    repeated = observed.y.repeat_interleave(4, 2).repeat_interleave(4, 3)
    y = F.avg_pool2d(cut.of(repeated), 4)
    return Observation(y, GaussianLikelihood(SuperResolution(4, (3, TILE, TILE)), SIGMA_Y))


def interpolated(loaded: Loaded, observed: Observation, truth: Tensor, seed: int) -> Tensor:
    """Bicubic resizing; for scratches the harmonic function between the borders of the holes."""
    operator = observed.operator
    if not isinstance(operator, Inpainting):
        found = F.interpolate(observed.y, scale_factor=4, mode="bicubic", align_corners=False)
        return found.clamp(-1, 1)
    mask, x = operator.mask, observed.y.clone()
    for _ in range(3000):
        around = F.pad(x, (1, 1, 1, 1), mode="replicate")
        mean = (
            around[..., 2:, 1:-1]
            + around[..., :-2, 1:-1]
            + around[..., 1:-1, 2:]
            + around[..., 1:-1, :-2]
        ) / 4
        x = mask * observed.y + (1 - mask) * mean
    return x.clamp(-1, 1)


Draw = Callable[[Loaded, Observation, Tensor, int], Tensor]
METHODS: dict[str, Draw] = {
    "whole": whole,
    "interpolated": interpolated,
    "apart": apart,
    "fixed": partial(whole, layout="fixed"),
}
SAMPLES = {
    "384x256": {
        "scratches": {"whole": 2, "interpolated": 1, "apart": 1, "fixed": 1},
        "4x": {"whole": 2, "interpolated": 1, "fixed": 1, "apart": 1},
    },
    "768x512": {"4x": {"whole": 1, "interpolated": 1}},
}


def gradient_energy(pictures: Tensor) -> Tensor:
    """E(d) for every offset, over its mean over offsets: one row for each picture."""
    stride = TILE - OVERLAP
    energy = torch.zeros(len(pictures), stride)
    for axis in (2, 3):
        across = pictures.diff(dim=axis).square().mean((1, 5 - axis))  # a line lies before it
        lines = range(stride, pictures.shape[axis] - stride, stride)
        for d in range(stride):
            energy[:, d] += across[:, [k + d - 1 for k in lines]].mean(1)
    return energy / energy.mean(1, keepdim=True)


def seams(energy: Tensor, period: int = 1) -> dict[str, float]:
    """The ranks of the tiles' own offsets, of the mean over pictures, among offsets that differ by
    multiples of `period`; and how large the one in the middle is beside those.
    """
    mean = energy.mean(0)
    own = {"begin": 0, "middle": OVERLAP // 2, "end": OVERLAP}
    ranks_of = {}
    for name, d in own.items():
        others = [k for k in range(d % period, len(mean), period) if k != d]
        ranks_of[name] = float((mean[others] < mean[d]).float().mean())
        if name == "middle":
            ranks_of["middle_over_others"] = float(mean[d] / mean[others].mean())
    return ranks_of


def near_cuts(truth: Tensor) -> Tensor:
    """Places within four of the lines where tiles apart are cut, (height, width)."""
    stride, near = TILE - OVERLAP, []
    for n in truth.shape[2:]:
        place, last = torch.arange(n), n - TILE
        lines = [k + OVERLAP // 2 for k in range(stride, last, stride)]
        lines.append((last + min(last - 1, (last - 1) // stride * stride) + TILE) // 2)
        near.append(torch.stack([(place >= k - 4) & (place < k + 4) for k in lines]).any(0))
    return near[0][:, None] | near[1]


def summary(
    x: Tensor, truth: Tensor, masks: Tensor | None, fits: Tensor, seconds: float, period: int
) -> dict[str, Any]:
    """Measures of samples (pictures, samples, *event) of these truths, seen where the masks say,
    errors over pictures.
    """
    n, m = x.shape[:2]
    limit = (x.mean(1) - truth).square() - (x.var(1) / m if m > 1 else 0)
    near = near_cuts(truth)
    found: dict[str, Any] = {
        "psnr_near_cuts": mean_and_error(
            10 * (4 / (x - truth[:, None]).square()[..., near].flatten(1).mean(1)).log10()
        ),
        "psnr_mean": mean_and_error(psnr(x.mean(1), truth, 2.0)),
        "psnr_sample": mean_and_error(
            torch.stack([psnr(x[:, j], truth, 2.0) for j in range(m)]).mean(0)
        ),
        "patch_distance": float(
            np.mean([patch_distance(x[:, j], truth, patches=1024) for j in range(m)])
        ),
        "patch_distance_mean": float(np.mean(patch_distance(x.mean(1), truth, patches=1024))),
        "misfit": mean_and_error(fits),
        "seams": seams(gradient_energy(x.flatten(0, 1)), period),
        "seams_of_error": seams(gradient_energy((x - truth[:, None]).flatten(0, 1)), period),
        "seams_of_truth": seams(gradient_energy(truth), period),
        "seams_over_truth": seams(
            gradient_energy(x.flatten(0, 1)).mean(0, keepdim=True)
            / gradient_energy(truth).mean(0, keepdim=True),
            period,
        ),
        "energy_of_error": gradient_energy((x - truth[:, None]).flatten(0, 1)).mean(0).tolist(),
        "seconds": seconds,
        "samples": m,
    }
    if masks is not None:
        error, shown = (x - truth[:, None]).square().mean(2), masks[:, 0].bool()
        for name, where in (("rms_seen", shown), ("rms_in_holes", ~shown)):
            each = [e[:, w].mean().sqrt() for e, w in zip(error, where)]
            found[name] = mean_and_error(torch.stack(each))
    if m > 1:
        found["seams_of_difference"] = seams(gradient_energy(x[:, 0] - x[:, 1]), period)
        found["psnr_posterior_mean"] = mean_and_error(10 * (4 / limit.flatten(1).mean(1)).log10())
        if n > 1:
            where = uncertain(x, truth, 0.05)
            found["coverage"] = coverage(ranks(x, truth), m, (0.9,), where=where).card()
        found["crps"] = mean_and_error(crps(x, truth).flatten(1).mean(1))
    if n == 1:
        found["note"] = "one picture: no errors"
    return found


def mean_and_error(values: Tensor) -> dict[str, float | None]:
    """The mean and its standard error."""
    error = float(values.std() / math.sqrt(len(values))) if len(values) > 1 else None
    return {"value": float(values.mean()), "error": error}


def drawn(folder: Path, name: str, draw: Callable[[], Tensor]) -> tuple[Tensor, float]:
    """What is kept, or else drawn, with the seconds that it took."""
    path = folder / f"{name}.npz"
    if path.exists():
        with np.load(path) as kept:
            return torch.from_numpy(kept["x"]), float(kept["seconds"])
    begun = time.perf_counter()
    x = draw()
    seconds = time.perf_counter() - begun
    folder.mkdir(parents=True, exist_ok=True)
    with atomic(path) as file:
        np.savez(file, x=x.numpy(), seconds=np.array(seconds))
    return x, seconds


def panel(observed: Observation, found: dict[str, Tensor], truth: Tensor) -> NDArray[Any]:
    """Measurement, interpolation, tiles apart, one sample, the mean of several, the truth."""

    def shown(x: Tensor) -> NDArray[Any]:
        return figure.picture(np.asarray(x), (-1.0, 1.0))

    measured = figure.hatch(
        shown(observed.operator.lift(observed.y)[0]),
        np.asarray(observed.operator.coverage(truth)[0]),
    )
    ours = found["whole"]
    tiles = {"measurement": measured, "interpolated": shown(found["interpolated"][0])}
    if "cut" in found:
        tiles["tiles apart, cut"] = shown(found["cut"][0])
    tiles["one sample of the whole"] = shown(ours[0])
    if len(ours) > 1:
        tiles[f"mean of {len(ours)} samples"] = shown(ours.mean(0))
    tiles["truth"] = shown(truth[0])
    names, wide = list(tiles), 2 if len(tiles) == 4 else 3
    rows = [names[k : k + wide] for k in range(0, len(names), wide)]
    return np.concatenate([figure.grid([[tiles[n] for n in row]], row, scale=1) for row in rows])


def main() -> None:
    """Draw, or go on, and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sizes", nargs="*", choices=list(SIZES), default=list(SIZES))
    args = parser.parse_args()
    if not (args.data / "kodak24").is_dir():
        parser.error(f"--data {args.data}: it has no folder kodak24 of Kodak's photographs")
    torch.set_num_threads(args.threads)
    results: dict[str, Any] = {}
    for size in args.sizes:
        for name, counts in SAMPLES[size].items():
            file = NAMES[name]
            loaded, made = deft.load(file), problem(name, size)
            cells: dict[str, list[Tensor]] = {}
            seconds: dict[str, list[float]] = {}
            truths = [photograph(args.data, number, size) for number in PICTURES[size]]
            seen = [
                made.draw(truth, Noise([mix(0, 4, number)]))
                for truth, number in zip(truths, PICTURES[size])
            ]
            for method, count in counts.items():
                for number, truth, observed in zip(PICTURES[size], truths, seen):
                    parts = []
                    for j in range(count):
                        seed = mix(0, 5, number, j)
                        x, took = drawn(
                            args.out / size / name,
                            f"{method}-{number:02d}-{j}",
                            partial(METHODS[method], loaded, observed, truth, seed),
                        )
                        print(size, name, method, number, j, f"{took:.0f} s", flush=True)
                        seconds.setdefault(method, []).append(took)
                        parts.append(x)
                    found = torch.stack(parts)
                    cells.setdefault(method, []).append(found[:, 0])
                    if method == "apart":
                        cells.setdefault("cut", []).append(found[:, 1])
                    if method == "whole" and count > 1:
                        cells.setdefault("as_apart", []).append(as_apart(found[:, 0]))
            last = {label: parts[-1] for label, parts in cells.items()}
            with atomic(args.out / f"{size}-{name}.jpg") as out:
                Image.fromarray(panel(seen[-1], last, truths[-1])).save(out, "JPEG", quality=88)
            for label, each in cells.items():
                fits = [
                    misfit(x, observed.take([0] * len(x))).mean() for x, observed in zip(each, seen)
                ]
                masks = None
                if isinstance(seen[0].operator, Inpainting):
                    masks = torch.cat([observed.operator.mask for observed in seen])
                first = [
                    psnr(torch.stack(x)[:, 0], torch.cat(truths), 2.0)
                    for x in (cells["whole"], each)
                ]
                took_by = {"cut": "apart", "as_apart": "whole"}.get(label, label)
                results.setdefault(size, {}).setdefault(name, {})[label] = summary(
                    torch.stack(each),
                    torch.cat(truths),
                    masks,
                    torch.stack(fits),
                    float(np.mean(seconds[took_by])),
                    4 if name == "4x" else 1,
                )
                results[size][name][label]["whole_less_it"] = mean_and_error(first[0] - first[1])
        settings = {"overlap": OVERLAP, "tile": TILE, "sigma_y": SIGMA_Y, "pictures": PICTURES}
        with atomic(args.out / "results.json") as out:
            out.write(json.dumps({"settings": settings, "results": results}, indent=1).encode())


if __name__ == "__main__":
    main()
