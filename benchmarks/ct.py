"""What posterior samples add to a reconstruction: how wide they are, and whether they are wide
where they are wrong.

    python benchmarks/ct.py benchmarks/quality/ct.yaml --data CT_FOLDER --out runs/quality-ct > \\
        uncertainty.md

reads what `benchmarks/quality.py` left in OUT and writes, for each problem,
`OUT/PROBLEM/uncertainty.json` and a `maps-METHOD.png`: truth, one sample, mean, error of the mean
and standard deviation of the first test images. Coverage of central credible intervals is over
entries whose standard deviation exceeds `uncertain` of the YAML file, and over 50 random linear
functionals; the correlation is Spearman's, between standard deviation and error of the mean over
the entries of an image, all of them and those inside the body (above -750 HU). Nothing is drawn.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np
import torch
from PIL import Image
from setting import Setting
from torch import Tensor

from deft.metrics.calibration import coverage, crps, linear_functionals, ranks, uncertain
from deft.storage.atomic import atomic
from deft.studies.estimate import Estimate
from deft.studies.kept import read_results, read_samples
from deft.studies.method import folder_name

BODY = -750.0  # HU
SHOWN = 4


def rank_correlation(a: Tensor, b: Tensor) -> float:
    """Spearman's; equal values share their mean rank."""
    x, y = (r - r.mean() for r in (_ranks(a), _ranks(b)))
    return float((x @ y) / (x.norm() * y.norm()))


def _ranks(x: Tensor) -> Tensor:
    _, inverse, counts = x.unique(return_inverse=True, return_counts=True)
    return (counts.cumsum(0) - 0.5 * counts)[inverse].double()


def measured(samples: Tensor, truth: Tensor, threshold: float, body: Tensor) -> dict[str, Any]:
    """Coverage, CRPS, and the correlation of spread and error; the standard error is over
    images.
    """
    count, where = samples.shape[1], uncertain(samples, truth, threshold)
    spread, error = samples.std(1), (samples.mean(1) - truth).abs()
    whole = [rank_correlation(s.flatten(), e.flatten()) for s, e in zip(spread, error, strict=True)]
    inside = [rank_correlation(s[b], e[b]) for s, e, b in zip(spread, error, body, strict=True)]
    projected, true = linear_functionals(samples, truth)
    return {
        "images": len(truth),
        "share_of_uncertain_entries": float(where.float().mean()),
        "coverage": coverage(ranks(samples, truth), count, where=where).card()
        if bool(where.any())
        else None,
        "coverage_of_functionals": coverage(ranks(projected, true), count).card(),
        "crps": Estimate.mean(crps(samples, truth).flatten(1).mean(1).tolist()).card(),
        "error_over_spread": float(error.square().mean().sqrt() / spread.square().mean().sqrt()),
        "rank_correlation": Estimate.mean(whole).card(),
        "rank_correlation_inside": Estimate.mean(inside).card(),
    }


def maps(samples: Tensor, truth: Tensor) -> np.ndarray:
    """A row for each image: truth, one sample, mean, error of the mean, standard deviation; the
    last two on one scale, white at 0.2.
    """
    mean, spread = samples.mean(1), samples.std(1)
    grey = [(x.clamp(-1, 1) + 1) / 2 for x in (truth, samples[:, 0], mean)]
    wide = [(x / 0.2).clamp(0, 1) for x in ((mean - truth).abs(), spread)]
    rows = torch.cat([x[:, 0] for x in (*grey, *wide)], dim=2)
    return (torch.cat(list(rows), dim=0) * 255).round().byte().numpy()


def row(label: str, found: dict[str, Any]) -> str:
    """One line of the table."""

    def shares(card: dict[str, Any] | None) -> str:
        return "" if card is None else ", ".join(f"{value:.2f}" for value in card["values"])

    def estimate(card: dict[str, Any]) -> str:
        return f"{card['value']:.2f} ± {card['standard_error']:.2f}"

    cells = [
        str(found["images"]),
        shares(found["coverage"]),
        shares(found["coverage_of_functionals"]),
        f"{found['error_over_spread']:.2f}",
        estimate(found["rank_correlation"]),
        estimate(found["rank_correlation_inside"]),
    ]
    return f"| {label} | " + " | ".join(cells) + " |"


def main() -> None:
    """Measure every problem that is there, and print a table of each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    args, setting = Setting.of(parser)
    truth = setting.images(setting.config["test"]["split"], setting.config["test"]["count"])
    low, high = setting.config["problems"][next(iter(setting.config["problems"]))]["args"]["window"]
    body = truth > 2 * (BODY - low) / (high - low) - 1
    for name in setting.config["problems"]:
        folder = args.out / name
        if not (folder / "results.json").exists():
            continue
        results: dict[str, Any] = {}
        print(f"### {name}\n")
        print(
            "| | images | coverage of 50, 80, 95 % | of functionals | error / spread | rank "
            "correlation | inside the body |"
        )
        print("| --- | ---: | --- | --- | ---: | ---: | ---: |")
        for method in read_results(folder)["methods"]:
            label = method["label"]
            samples = read_samples(folder, label, len(truth))
            if (
                samples.shape[1] < 2
                or float(samples.std(1).max()) == 0
                or not bool(torch.isfinite(samples).all())
            ):
                continue
            samples = samples.clamp(-1, 1) if setting.config.get("clip") else samples
            n = len(samples)
            results[label] = measured(samples, truth[:n], setting.config["uncertain"], body[:n])
            print(row(label, results[label]), flush=True)
            with atomic(folder / f"maps-{folder_name(label)}.png") as stream:
                Image.fromarray(maps(samples[:SHOWN], truth[: min(SHOWN, n)])).save(
                    stream, format="PNG"
                )
        with atomic(folder / "uncertainty.json") as stream:
            stream.write((json.dumps(results, indent=1) + "\n").encode())
        print()


if __name__ == "__main__":
    main()
