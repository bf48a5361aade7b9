"""Which sampler for a learned h-transform, and how many steps: quality against prior evaluations,
on validation images.

    python benchmarks/studies/few_steps.py benchmarks/quality/digits.yaml --data DIGITS_FOLDER \\
        --h runs/h-digits --only freeform-0.05 --out runs/few-steps-digits

DDIM with eta = 0, 0.5 and 1 (this also with 100 steps) on two grids of times, DPMSolver and Heun,
each at several budgets, with the same h-transform, observations and seeds. The images are
validation images 100 to 131, which tune nothing else. Leaves `OUT/PROBLEM/results.json`,
`report.html` and a chart; the same command goes on from where it was stopped.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from deft.reports.chart import Series, as_file, line_chart
from deft.reports.page import write_report
from deft.samplers.base import Sampler
from deft.samplers.ddim import DDIM
from deft.samplers.dpm_solver import DPMSolver
from deft.samplers.grids import UniformLogSNR, UniformTime
from deft.samplers.heun import Heun
from deft.studies.evaluation import evaluate
from deft.studies.kept import read_results
from deft.studies.method import Method
from deft.training import checkpoint

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from setting import Setting

BUDGETS = (5, 10, 20, 50)
GRIDS = {"time": UniformTime(), "log-SNR": UniformLogSNR(8.0)}


def samplers() -> dict[str, dict[int, Sampler]]:
    """By family, then by prior evaluations."""
    families: dict[str, dict[int, Sampler]] = {}
    for grid_name, grid in GRIDS.items():
        for eta in (0.0, 0.5, 1.0):
            budgets = (*BUDGETS, 100) if eta == 1 else BUDGETS
            families[f"DDIM eta {eta:g}, {grid_name}"] = {
                n: DDIM(n, eta=eta, grid=grid) for n in budgets
            }
    families["DPMSolver"] = {n: DPMSolver(n) for n in BUDGETS}
    families["Heun"] = {
        n: Heun((n + 1) // 2) for n in BUDGETS if n >= 20
    }  # below, its three to five steps are far off
    return families


def main() -> None:
    """Run the problems named, one after the other."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--h", type=Path, required=True, help="the folder of learned h-transforms")
    parser.add_argument("--only", nargs="*", help="some of the problems")
    args, setting = Setting.of(parser)
    images = setting.images("val", 32, start=100)
    for name in args.only or setting.config["problems"]:
        h, card = checkpoint.load(args.h / f"{name}.safetensors", setting.prior)
        folder = args.out / name
        methods = [
            Method(f"{family} ({n})", h, sampler)
            for family, by in samplers().items()
            for n, sampler in by.items()
        ]
        evaluate(
            setting.prior,
            setting.problem(name),
            images,
            methods,
            out=folder,
            samples=4,
            seed=2,
            reference="DDIM eta 1, time (20)",
        )
        write_report(folder, title=f"{setting.config['prior']}: {name}, samplers", card=card)
        results = {row["label"]: row for row in read_results(folder)["methods"]}
        for measure, label in (
            ("psnr_mean", "PSNR of the mean (dB)"),
            ("ssim_mean", "SSIM of the mean"),
        ):
            series = [
                Series(
                    family,
                    [sampler.evaluations for sampler in by.values()],
                    [results[f"{family} ({n})"]["summary"][measure]["value"] for n in by],
                )
                for family, by in samplers().items()
            ]
            chart = line_chart(
                series, "prior evaluations per sample", label, log_x=True, title=name
            )
            (folder / f"{measure}.svg").write_text(as_file(chart))


if __name__ == "__main__":
    main()
