"""How far the mean of infinitely many samples is from the truth, estimated from a few: what the
spread of samples adds to the mean of four, taken off.

    E ||x_bar_n - x_0||^2 = ||E x - x_0||^2 + v / n,    v = the variance of a sample

    python benchmarks/posterior_mean.py benchmarks/quality/digits.yaml --data DIGITS --out \\
        runs/quality-digits --against DPS-500

reads the samples that `benchmarks/quality.py` left in `--out` and prints, per problem and method,
the mean square error per entry of that mean, its difference to `--against` image by image, and v. A
method whose samples spread less has a better mean of four without knowing more.
"""

from __future__ import annotations

import argparse

import numpy as np
from setting import Setting

from deft.studies.estimate import Estimate
from deft.studies.kept import read_results, read_samples


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--against", required=True, help="the label of a method")
    args, setting = Setting.of(parser)
    test = setting.images(setting.config["test"]["split"], setting.config["test"]["count"]).numpy()
    print(
        "| problem | method | images | error of the mean (×10³) | less that of "
        + args.against
        + " | variance of a sample (×10³) |"
    )
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for name in setting.config["problems"]:
        folder = args.out / name
        if not (folder / "results.json").exists():
            continue
        found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for method in read_results(folder)["methods"]:
            samples = read_samples(folder, method["label"], len(test)).double().numpy()
            axes = tuple(range(1, test.ndim))
            variance = samples.var(1, ddof=1).mean(axes)
            square = ((samples.mean(1) - test[: len(samples)]) ** 2).mean(axes)
            found[method["label"]] = square - variance / samples.shape[1], variance
        shared = min(len(errors) for errors, _ in found.values())
        for label, (errors, variance) in found.items():
            less = _words(errors[:shared] - found[args.against][0][:shared])
            print(
                f"| {name} | {label} | {shared} | {_words(errors[:shared])} | {less} | "
                f"{1e3 * variance[:shared].mean():.1f} |"
            )


def _words(values: np.ndarray) -> str:
    estimate = Estimate.mean((1e3 * values).tolist())
    return f"{estimate.value:.1f} ± {estimate.standard_error:.1f}".replace("-", "−")


if __name__ == "__main__":
    main()
