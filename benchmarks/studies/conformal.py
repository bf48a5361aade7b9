"""Whether conformal intervals hold: coverage and width before and after, over random splits.

    python benchmarks/studies/conformal.py benchmarks/quality/digits.yaml --data DIGITS_FOLDER \\
        --h h-digits-32-box h-digits-32-super-resolution --images 1000 \\
        --out runs/conformal-digits [--calibration 300] [--splits 20] \\
        [--keep benchmarks/results/conformal] [--skip certain]

Eight samples of each of the first test images by an h-transform that ships, with the sampler on
its card; they are drawn once and kept in `OUT/H/parts`, and the same command goes on from there.
Each split takes 300 images at random to calibrate on, and the others to test. 90 % intervals of
pixels by class (deft.metrics.intervals), of 50 random linear functionals with one factor for all,
and with one for each. Before: the factor that a Gaussian posterior would need. Coverage is the mean
over test images of the share of a class that holds the truth; its standard error has images as
units: the test images, and after calibration those of the calibration too, s (1 / test + 1 /
calibration)^(1/2); it is that of the first split. Beside the score by deviations, that by quantiles
of the samples (CQR): its coverage and its width on the same splits; before, the central interval of
the samples itself. `OUT` receives a picture of four test images too.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

import deft
from deft.likelihoods import Observation
from deft.metrics.calibration import linear_functionals
from deft.metrics.conformal import Bands, by_deviation, by_quantiles, factor, fewest, usual
from deft.metrics.intervals import FUNCTIONALS, classes
from deft.noise import Noise, mix
from deft.priors.base import Prior
from deft.reports import figure
from deft.storage import provenance
from deft.storage.atomic import atomic
from deft.storage.claims import claim
from deft.studies.conformal import SHARE, coverage_of, extent_of
from deft.studies.method import Method, describe
from deft.studies.parts import draw

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from setting import Setting

SAMPLES, LEVEL, SEED, WITHIN = 8, 0.9, 0, (-1.0, 1.0)
Kind = tuple[Bands, Tensor, Tensor]  # intervals, truth, which entries are of the class


def samples_of(
    prior: Prior, method: Method, observation: Observation, seed: int, out: Path
) -> Tensor:
    """(images, samples, *signal): drawn, or those that are there."""
    claim(out / "method.json", method.card(), f"the method {method.label!r}")
    with tqdm(total=len(observation), desc=method.label, unit="image") as bar:
        seeds = [mix(seed, 5, i) for i in range(len(observation))]
        parts = draw(prior, observation, method, out, SAMPLES, seeds, 64, bar)
    return torch.cat([part.samples for part in sorted(parts, key=lambda part: part.start)])


def kinds(x: Tensor, truth: Tensor, seen: Tensor, extent: float) -> dict[str, Kind]:
    """What intervals are asked of, under a name each."""
    floor = extent / (255 * 12**0.5)
    where = classes(x, seen, SHARE * extent)
    found: dict[str, Kind] = {
        name: (by_deviation(x, floor), truth, own) for name, own in where.items()
    }
    found["uncertain, by quantiles"] = (by_quantiles(x, LEVEL), truth, where["uncertain"])
    w_x, w_truth = linear_functionals(x, truth, FUNCTIONALS)
    every = torch.ones_like(w_truth, dtype=torch.bool)
    found["functionals"] = (by_deviation(w_x, floor), w_truth, every)
    found["functionals, by quantiles"] = (by_quantiles(w_x, LEVEL), w_truth, every)
    found["functionals, a factor each"] = (by_deviation(w_x, floor), w_truth, every)
    return found


def shares(values: Tensor, where: Tensor) -> Tensor:
    """The mean over a class of each image."""
    return (values.double() * where).flatten(1).sum(1) / where.flatten(1).sum(1)


def split_rows(name: str, kind: Kind, calibration: Tensor, test: Tensor) -> dict[str, Any] | None:
    """Coverage and width over the test images of one split; None where images with any of the
    class are too few.
    """
    bands, truth, where = kind
    some = where.flatten(1).any(1)
    calibration, test = calibration[some[calibration]], test[some[test]]
    if len(calibration) < fewest(LEVEL) or len(test) < 2:
        return None
    held_by = Bands(bands.low[calibration], bands.high[calibration], bands.unit[calibration])
    scores = held_by.scores(truth[calibration])
    q: float | Tensor
    if name.endswith("a factor each"):
        q = torch.tensor([factor(scores[:, j, None], LEVEL) for j in range(FUNCTIONALS)])
    else:
        q = factor(scores, LEVEL, where=where[calibration])
    tested = Bands(bands.low[test], bands.high[test], bands.unit[test])
    target, own = truth[test], where[test]
    plain = 0.0 if name.endswith("quantiles") else usual(LEVEL, SAMPLES)
    row: dict[str, Any] = {"images": len(test), "factor": float(torch.as_tensor(q).mean())}
    for when, at, drawn in (("before", plain, 0.0), ("after", q, 1 / len(calibration))):
        low, high = tested.interval(at, None if name.startswith("functionals") else WITHIN)
        inside = shares((low <= target) & (target <= high), own)
        row[when] = {
            "coverage": float(inside.mean()),
            "standard_error": float(inside.std()) * (1 / len(test) + drawn) ** 0.5,
            "width": float(shares(high - low, own).mean()),
        }
    return row


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Over splits: mean and range of the coverage, the mean width, and the first split's standard
    error.
    """
    found: dict[str, Any] = {
        "splits": len(rows),
        "test_images": rows[0]["images"],
        "factor": mean(row["factor"] for row in rows),
    }
    for when in ("before", "after"):
        coverages = [row[when]["coverage"] for row in rows]
        found[when] = {
            "coverage": mean(coverages),
            "lowest": min(coverages),
            "highest": max(coverages),
            "within_a_point": sum(abs(value - LEVEL) <= 0.01 for value in coverages),
            "first_split": coverages[0],
            "standard_error": rows[0][when]["standard_error"],
            "width": mean(row[when]["width"] for row in rows),
        }
    return found


def mean(values: Any) -> float:
    """The mean of some numbers."""
    return float(np.mean(list(values)))


def picture(
    x: Tensor, observation: Observation, truth: Tensor, kind: Kind, q: float, index: Sequence[int]
) -> bytes:
    """Some test images: truth, measurement, mean, half the width of the interval of every pixel
    (0 to half the range), and in white where the truth of an uncertain one lies outside in some
    channel.
    """
    bands, _, where = kind
    low, high = bands.interval(q, WITHIN)
    half = ((high - low) / 2).square().mean(1).sqrt()
    outside = (((truth < low) | (truth > high)) & where).any(1, keepdim=True)
    rows = []
    for i in index:
        one = observation.take([i])
        lifted = figure.picture(np.asarray(one.lifted[0]), WITHIN)
        rows.append(
            [
                figure.picture(np.asarray(truth[i]), WITHIN),
                figure.hatch(lifted, np.asarray(one.operator.coverage(truth[i : i + 1])[0])),
                figure.picture(np.asarray(x[i].mean(0)), WITHIN),
                figure.heat(np.asarray(half[i]), 1.0),
                figure.picture(np.asarray(outside[i].float()), (0.0, 1.0)),
            ]
        )
    heads = ["truth", "measurement", "mean", "half-width, 0 to 1", "truth outside"]
    return figure.png(figure.grid(rows, heads, scale=figure.enlargement(tuple(truth.shape[1:]))))


def table(name: str, found: Mapping[str, Any]) -> str:
    """What was found of one h-transform, in Markdown."""
    lines = [
        f"| {name} | coverage before (%) | width | coverage after: first split (%) | mean of "
        "splits | range | width | factor |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for kind, row in found.items():
        before, after = row["before"], row["after"]
        lines.append(
            f"| {kind} | {100 * before['coverage']:.1f} ± {100 * before['standard_error']:.1f} | "
            f"{before['width']:.3f} | {100 * after['first_split']:.1f} ± "
            f"{100 * after['standard_error']:.1f} | {100 * after['coverage']:.2f} | "
            f"{100 * after['lowest']:.1f} to {100 * after['highest']:.1f} | {after['width']:.3f} | "
            f"{row['factor']:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Draw what is missing, and split."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--h", nargs="+", required=True, help="names of h-transforms that ship")
    parser.add_argument("--images", type=int, default=1000, help="so many images")
    parser.add_argument("--split", default="test", help="of the data: test, or val")
    parser.add_argument("--first", type=int, default=0, help="the image to begin from")
    parser.add_argument("--calibration", type=int, default=300)
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--keep", type=Path, help="a folder for the results alone")
    parser.add_argument("--skip", nargs="*", default=[], help="classes that are left out")
    args, setting = Setting.of(parser)
    truth = setting.images(args.split, args.images, args.first)
    for name in args.h:
        loaded = deft.load(name, prior=setting.prior)
        seed = setting.config["seed"]
        observation = loaded.problem.draw(
            truth, Noise([mix(seed, 4, i) for i in range(len(truth))])
        )
        method = Method("DEFT", loaded.h, loaded.sampler)
        with torch.no_grad():
            x = samples_of(loaded.prior, method, observation, seed, args.out / name)
        asked = kinds(x, truth, coverage_of(observation, truth), extent_of(setting.prior))
        orders = [
            torch.randperm(len(truth), generator=torch.Generator().manual_seed(mix(SEED, k)))
            for k in range(args.splits)
        ]
        found = {}
        for kind, what in tqdm(asked.items(), desc="splits"):
            if kind in args.skip:
                continue
            rows = [
                row
                for order in orders
                if (
                    row := split_rows(
                        kind, what, order[: args.calibration], order[args.calibration :]
                    )
                )
                is not None
            ]
            if rows:
                found[kind] = summary(rows)
        result = {
            "h": name,
            "prior": loaded.prior.identity(),
            "problem": loaded.problem.card(),
            "sampler": describe(loaded.sampler),
            "samples": SAMPLES,
            "level": LEVEL,
            "usual_factor": usual(LEVEL, SAMPLES),
            "images": len(truth),
            "split": args.split,
            "first": args.first,
            "calibration_images": args.calibration,
            "uncertain_above": SHARE * extent_of(setting.prior),
            "commit": provenance.commit(),
            "classes": found,
        }
        for folder in filter(None, (args.out, args.keep)):
            folder.mkdir(parents=True, exist_ok=True)
            with atomic(folder / f"{name}.json") as stream:
                stream.write((json.dumps(result, indent=1) + "\n").encode())
        shown = orders[0][args.calibration :][:4].tolist()
        drawing = picture(
            x, observation, truth, asked["uncertain"], found["uncertain"]["factor"], shown
        )
        with atomic(args.out / f"{name}.png") as stream:
            stream.write(drawing)
        print(table(name, found))


if __name__ == "__main__":
    main()
