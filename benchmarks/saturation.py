"""Where the gradient of a likelihood vanishes: the error of the mean of samples over saturated
entries and over the others, apart.

    y = clip(f x_0, low, high):
        the entries whose f x_0 lies outside [low, high] have a derivative of zero,
            and only their side is measured

    python benchmarks/saturation.py benchmarks/quality/digits-nonlinear.yaml --data DIGITS --out \\
        runs/quality-digits-nonlinear --problem hdr-0.05 --against DEFT-100

reads the samples that `benchmarks/quality.py` left in `--out`. The first row is what a method
reaches that looks at one entry at a time, without an image model: E[x_0 | y] of that entry under
the histogram of training entries. Root mean squares over the entries of an image, their means over
images, standard errors over images; differences image by image.
"""

from __future__ import annotations

import argparse

import torch
from setting import Setting

from deft.likelihoods import Observation
from deft.operators import HighDynamicRange
from deft.studies.estimate import Estimate
from deft.studies.kept import read_results, read_samples

TRAINING = 1000  # images in the histogram
ALONE = "entry by entry"


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problem", required=True, help="one of HighDynamicRange")
    parser.add_argument("--against", required=True, help="the label of a method")
    parser.add_argument(
        "--images",
        type=int,
        help="the first so many images alone, so that methods are compared on the same ones",
    )
    args, setting = Setting.of(parser)
    plan, folder = setting.config, args.out / args.problem
    methods = [method["label"] for method in read_results(folder)["methods"]]
    if args.against not in methods:
        parser.error(
            f"--against {args.against}: not a method in {folder / 'results.json'}, which has "
            f"{', '.join(methods)}"
        )
    test = setting.images(
        plan["test"]["split"], min(plan["test"]["count"], args.images or plan["test"]["count"])
    )
    observation = setting.observation(args.problem, test)
    operator = observation.operator
    if not isinstance(operator, HighDynamicRange):
        parser.error(
            f"--problem {args.problem}: a {type(operator).__name__} does not saturate entry by "
            "entry; give a problem of HighDynamicRange"
        )
    low, high = (float(end) / operator.factor for end in operator.clip)
    training = setting.images("train", TRAINING)
    means = {ALONE: entry_by_entry(observation, training)}
    for label in methods:
        means[label] = read_samples(folder, label, len(test)).float().mean(1)
    saturated = (test < low) | (test > high)
    kept = saturated.flatten(1).any(1) & ~saturated.flatten(1).all(1)
    errors = {
        label: [
            _roots((mean - test[: len(mean)]) ** 2, where[: len(mean)])
            for where in (saturated, ~saturated)
        ]
        for label, mean in means.items()
    }
    print(
        f"Saturated: {float(saturated.float().mean()):.0%} of the entries; {int(kept.sum())} of "
        f"{len(test)} images have entries of both kinds and count.\n"
    )
    print(
        "| method | images | saturated | others | saturated, less " + args.against + " | others |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for label, pair in errors.items():
        here = kept[: len(pair[0])]
        shared = kept[: min(len(pair[0]), len(errors[args.against][0]))]
        of = [_words(error[here]) for error in pair]
        less = [
            _words((error[: len(shared)] - other[: len(shared)])[shared])
            for error, other in zip(pair, errors[args.against], strict=True)
        ]
        print(
            f"| {label} | {int(here.sum())} | {of[0]} | {of[1]} | "
            f"{'– | –' if label == args.against else ' | '.join(less)} |"
        )


def entry_by_entry(observation: Observation, training: torch.Tensor) -> torch.Tensor:
    """E[x_0 | y] of each entry under the histogram of the entries of `training`: sum x p(y | x)
    p(x) / sum p(y | x) p(x).
    """
    share, edges = torch.histogram(training.flatten(), bins=256, range=(-1.0, 1.0))
    x = (edges[1:] + edges[:-1]) / 2
    operator, found = observation.operator, []
    for y, sigma_y in zip(
        observation.y, observation.sigma_y.expand(len(observation.y)), strict=True
    ):
        log_p = -0.5 * ((y[..., None] - operator(x[None, None])[0, 0]) / sigma_y) ** 2 + share.log()
        found.append(log_p.softmax(-1) @ x)
    return torch.stack(found)


def _roots(squares: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    return ((squares * where).flatten(1).sum(1) / where.flatten(1).sum(1)).sqrt()


def _words(values: torch.Tensor) -> str:
    estimate = Estimate.mean(values.double().tolist())
    return f"{estimate.value:.3f} ± {estimate.standard_error:.3f}".replace("-", "−")


if __name__ == "__main__":
    main()
