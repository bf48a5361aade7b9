"""Collect the results of `benchmarks/quality.py` into Markdown tables, and keep their JSON beside
this file.

    python benchmarks/tables.py runs/quality-digits --keep benchmarks/results/quality-digits \\
        --against DPS-500 > tables.md

Methods that a kept file has and this run lacks stay in it, where problem, observations, number of
samples and seed are the same; differences are then taken again from the values by image (the patch
distance has none, and its difference is then left out). With `--against`, of the same problem or of
one with the same observations, last a table of paired differences to that method, on the images
that both have; its row "all" averages the problems image by image first, so that its standard error
knows that the problems share their images.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from deft.reports.table import difference_table, results_table
from deft.studies.estimate import Estimate
from deft.studies.kept import read_results

MEASURES = {
    "psnr_mean": "PSNR of the mean (dB)",
    "psnr_single": "PSNR of a sample (dB)",
    "ssim_mean": "SSIM of the mean",
}


def paired(folders: dict[str, dict[str, Any]], against: str) -> str:
    """Differences of every DEFT to a method, as Markdown."""
    lines = [
        "| | images | " + " | ".join(MEASURES.values()) + " |",
        "| --- | ---: |" + " ---: |" * len(MEASURES),
    ]
    together: dict[str, dict[str, list[list[float]]]] = {}
    for name, results in folders.items():
        same = [
            r
            for r in folders.values()
            if all(r[key] == results[key] for key in ("images", "observations", "samples", "seed"))
        ]
        methods = {
            method["label"]: method["per_image"]
            for r in (*same, results)
            for method in r["methods"]
        }
        own = [
            method["label"]
            for method in results["methods"]
            if method["label"].startswith("DEFT") and against in methods
        ]
        for label in own:
            differences = {
                key: [a - b for a, b in zip(methods[label][key], methods[against][key])]
                for key in MEASURES
            }
            lines.append(_row(f"{label}, {name}", differences))
            for key, values in differences.items():
                together.setdefault(label, {}).setdefault(key, []).append(values)
    for label, by in together.items():
        lines.append(
            _row(
                f"{label}, all",
                {
                    key: [sum(column) / len(column) for column in zip(*rows)]
                    for key, rows in by.items()
                },
            )
        )
    return "\n".join(lines)


def _row(name: str, differences: dict[str, list[float]]) -> str:
    cells = []
    for key, values in differences.items():
        estimate, digits = Estimate.mean(values), 3 if key.startswith("ssim") else 2
        cells.append(
            f"{estimate.value:+.{digits}f} ± {estimate.standard_error:.{digits}f}".replace("-", "−")
        )
    return f"| {name} | {len(next(iter(differences.values())))} | " + " | ".join(cells) + " |"


def merged(kept: dict[str, Any], results: dict[str, Any]) -> dict[str, Any]:
    """The methods of both, where both have one that over more images (those of `results` where
    there are as many); learned ones last, the last of them as the reference.
    """
    for key in ("prior", "problem", "images", "observations", "samples", "seed"):
        if kept[key] != results[key]:
            raise SystemExit(
                f"{key} of the kept file and of this run differ, so that their methods cannot "
                f"stand side by side: {kept[key]} and {results[key]}"
            )
    found = {method["label"]: method for method in kept["methods"]}
    fresh = {
        method["label"]: method
        for method in results["methods"]
        if method["images"] >= found.get(method["label"], method)["images"]
    }
    methods = sorted(
        (found | fresh).values(), key=lambda method: method["label"].startswith("DEFT")
    )
    reference = methods[-1]
    for method in methods:
        run = results if method["label"] in fresh else kept
        if run["reference"] == reference["label"] and any(
            other is reference for other in run["methods"]
        ):
            continue  # it was measured against these very values
        method["difference"], count = {}, min(method["images"], reference["images"])
        for key in (*MEASURES, "ssim_single", "misfit") if method is not reference else ():
            how = Estimate.root_mean_square if key == "misfit" else Estimate.mean
            method["difference"][key] = (
                how(method["per_image"][key][:count]) - how(reference["per_image"][key][:count])
            ).card()
    return results | {"methods": methods, "reference": reference["label"], "best": {}}


def main() -> None:
    """Print the tables of every problem in a folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--keep", type=Path, help="copy the JSON files here")
    parser.add_argument("--against", help="the label of a method")
    args = parser.parse_args()
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(args.folder.glob("*/results.json")):
        results, name = read_results(path.parent), path.parent.name
        if args.keep and (args.keep / f"{name}.json").exists():
            results = merged(json.loads((args.keep / f"{name}.json").read_text()), results)
        found[name] = results
        print(f"### {name}\n")
        print(results_table(results).markdown())
        print(f"\nDifferences to {results['reference']}, image by image:\n")
        print(difference_table(results).markdown())
        print()
        if args.keep:
            args.keep.mkdir(parents=True, exist_ok=True)
            (args.keep / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")
    if args.against:
        print(f"### DEFT less {args.against}\n\n{paired(found, args.against)}")


if __name__ == "__main__":
    main()
