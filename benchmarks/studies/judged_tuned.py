"""Photographs by a learned judge, every method tuned by that judge.

    python benchmarks/studies/judged_tuned.py benchmarks/quality/natural.yaml \\
        --data NATURAL_FOLDER --out runs/judged-tuned --problem freeform-0.05 --h H \\
        [--evaluations 20 100] [--images 300] [--validation 100] [--methods DEFT DDNM+] \\
        [--and-ddnm-plus 100] [--keep FILE]

H is a name that ships or a file. With each number of evaluations every method draws one sample of
each of the first VALIDATION images of the validation split, with every setting that stands in
`settings` below; the setting with the lowest KID then draws one sample of each test image. KID,
feature distance and agreement are those of EfficientNet-Lite0 (`pip install
"deft-diffusion[judges]"`), the same observations and seeds for all. --and-ddnm-plus adds DDNM+ with
so many evaluations and eta = 0.85, its usual one, to the test, without tuning. `OUT` receives the
results of both; the same command goes on from where it was stopped. `--keep` names a file for the
numbers.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from judged import numbers

from deft.htransforms.base import HTransform
from deft.htransforms.dps import DPS
from deft.metrics import Weights
from deft.metrics.judge import NAME
from deft.reports.table import difference_table, results_table
from deft.samplers.ddim import DDIM
from deft.samplers.ddnm_plus import DDNMPlus
from deft.samplers.diffpir import DiffPIR
from deft.samplers.dpm_solver import DPMSolver
from deft.samplers.grids import UniformLogSNR, UniformTime
from deft.storage.atomic import atomic
from deft.studies.evaluation import evaluate
from deft.studies.method import Method
from deft.training import checkpoint
from deft.training.places import located

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from setting import Setting

TIME, SIX = UniformTime(), UniformLogSNR(high=6.0)
GRIDS = {"time": TIME, "log-SNR to 6": SIX}
OURS = {**GRIDS, "log-SNR to 4": UniformLogSNR(high=4.0), "log-SNR to 8": UniformLogSNR(high=8.0)}


def settings(family: str, count: int, h: HTransform) -> list[Method]:
    """What a method is chosen from, with so many evaluations."""
    if family == "DEFT":
        found = [
            Method(f"DEFT-{count}, eta {eta}, {name}", h, DDIM(count, eta=eta, grid=grid))
            for name, grid in OURS.items()
            for eta in (0.85, 1.0)
        ]
        return [*found, Method(f"DEFT-{count}, 2M", h, DPMSolver(count))]
    if family == "DDNM+":
        return [
            Method(f"DDNM+-{count}, eta {eta}, {name}", None, DDNMPlus(count, eta=eta, grid=grid))
            for name, grid in GRIDS.items()
            for eta in (0.5, 0.7, 0.85, 0.95, 1.0)
        ]
    if family == "DPS":
        return [
            Method(
                f"DPS-{count}, zeta {zeta}, {name}",
                DPS.published(zeta),
                DDIM(count, eta=1.0, grid=grid),
            )
            for name, grid in GRIDS.items()
            for zeta in (0.35, 0.7, 1.4, 2.8)
        ]
    grids = {"its own times": None, "log-SNR to 6": SIX}
    return [
        Method(
            f"DiffPIR-{count}, lambda {weight}, zeta {zeta}, {name}",
            None,
            DiffPIR(count, weight=weight, zeta=zeta, grid=grid),
        )
        for name, grid in grids.items()
        for weight, zeta in ((1.0, 0.1), (4.0, 0.1), (16.0, 0.1), (1.0, 1.0))
    ]


def best(results: dict[str, Any]) -> tuple[str, dict[str, list[float]]]:
    """The label with the lowest KID, and what each had (value, standard error); none where samples
    were not finite.
    """
    found = {
        row["label"]: [row["summary"]["judged_kid"][key] for key in ("value", "standard_error")]
        for row in results["methods"]
        if "judged_kid" in row["summary"]
    }
    return min(found, key=lambda label: found[label][0]), found


def main() -> None:
    """Tune on validation images, then draw for the test images."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problem", default="freeform-0.05")
    parser.add_argument("--h", required=True, help="a name that ships, or a file")
    parser.add_argument("--evaluations", nargs="+", type=int, default=[20, 100])
    parser.add_argument("--methods", nargs="+", default=["DEFT", "DDNM+", "DPS", "DiffPIR"])
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--validation", type=int, default=100)
    parser.add_argument("--and-ddnm-plus", type=int)
    parser.add_argument("--keep", type=Path)
    args, setting = Setting.of(parser)
    h, card = checkpoint.load(located(args.h), setting.prior)
    problem, chosen, tuning = setting.problem(args.problem), [], {}
    shared = {"samples": 1, "weights": Weights(judge=NAME)}
    for count in args.evaluations:
        for family in args.methods:
            rows = settings(family, count, h)
            results = evaluate(
                setting.prior,
                problem,
                setting.images("val", args.validation),
                rows,
                out=args.out / args.problem / f"tuning-{family}-{count}",
                seed=setting.config["tuning"]["seed"],
                **shared,
            )
            label, found = best(results)
            tuning[f"{family}-{count}"] = {"chosen": label, "kid": found}
            chosen += [row for row in rows if row.label == label]
            print(f"{family}-{count}: {label}", found, flush=True)
    if args.and_ddnm_plus:
        count = args.and_ddnm_plus
        chosen.append(Method(f"DDNM+-{count}, eta 0.85, not tuned", None, DDNMPlus(count)))
    results = evaluate(
        setting.prior,
        problem,
        setting.images(setting.config["test"]["split"], args.images),
        chosen,
        out=args.out / args.problem / "test",
        seed=setting.config["seed"],
        reference=chosen[0].label,
        **shared,
    )
    print(results_table(results).markdown())
    print(difference_table(results).markdown())
    if args.keep:
        kept = numbers(results) | {"tuning": tuning, "training": card.get("training")}
        args.keep.parent.mkdir(parents=True, exist_ok=True)
        with atomic(args.keep) as stream:
            stream.write((json.dumps(kept, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
