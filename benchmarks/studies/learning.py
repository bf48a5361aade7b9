"""What an h-transform gains from longer training and from size: loss and quality of h-transforms
that were trained from nothing.

    python benchmarks/studies/learning.py benchmarks/quality/digits.yaml --data DIGITS_FOLDER \\
        --problem box-0.05 --out runs/learning-digits [--bank runs/h-digits/bank]

Lengths at the size of the YAML file, each a run of its own with its own cosine schedule (a point
within a longer run is not what a shorter one reaches), then sizes at one length. Measured on
validation images 200 to 231, four samples each, with DEFT's sampler at 20 steps; DPS-500 with its
tuned zeta on the same images as the line to reach, where `--dps` names the tuning that
`benchmarks/quality.py` left. One file of results, kept after every run; the same command goes on
from where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch

from deft.htransforms.base import HTransform
from deft.htransforms.learned import LearnedHTransform
from deft.metrics.image import psnr, ssim
from deft.noise import Noise, mix
from deft.posterior import Posterior
from deft.priors.precision import settled
from deft.reports.chart import Series, as_file, scatter_chart
from deft.samplers.base import Sampler
from deft.samplers.ddim import DDIM
from deft.storage import provenance
from deft.storage.atomic import atomic
from deft.studies.estimate import Estimate
from deft.training.bank import Bank
from deft.training.denoising import DenoisingScoreMatching
from deft.training.loop import train
from deft.training.sources import Images

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from quality import dps
from setting import Setting
from train_h import LAW

STEPS, SIZES, SIZE_STEPS = (250, 500, 1000, 2000), (0.02, 0.04, 0.18), 1000


def main() -> None:
    """Train and measure what is missing, then draw the charts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problem", required=True)
    parser.add_argument("--bank", type=Path, help="where recipes/train_h.py left its bank")
    parser.add_argument("--dps", type=Path, help="the tuned-dps.json of the problem")
    args, setting = Setting.of(parser)
    plan, prior, problem = setting.config["h"], setting.prior, setting.problem(args.problem)
    flip = setting.config["data"] == "natural"
    bank = Bank.build(
        prior,
        Images(setting.images("train"), prior, flip=flip),
        plan["bank"],
        LAW,
        seed=0,
        out=args.bank or args.out / "bank",
    )
    held_out = setting.images("val", 32, start=200)
    observation = problem.draw(held_out, Noise([mix(3, 6, i) for i in range(len(held_out))]))
    validation = Bank.build(
        prior,
        Images(setting.images("val", 500), prior),
        1000,
        LAW,
        seed=1,
        out=args.out / "bank-validation",
    )
    file = args.out / f"{args.problem}.json"
    kept: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {"rows": {}}
    kept |= {
        "problem": args.problem,
        "prior": setting.config["prior"],
        "commit": provenance.commit(),
        "machine": provenance.machine("cpu"),
    }
    rows = kept["rows"]

    def quality(h: HTransform, sampler: Sampler) -> dict[str, list[float]]:
        samples = sampler(Posterior(prior, h, observation), 4, seed=3, batch_size=64)
        mean = samples.mean(1)
        measured = {"psnr_mean": psnr(mean, held_out, 2.0), "ssim_mean": ssim(mean, held_out, 2.0)}
        singles = torch.stack([psnr(samples[:, j], held_out, 2.0) for j in range(4)]).mean(0)
        return {
            key: values.tolist() for key, values in {**measured, "psnr_single": singles}.items()
        }

    def keep(name: str, row: dict[str, Any]) -> None:
        rows[name] = row
        with atomic(file) as stream:
            stream.write((json.dumps(kept, indent=1) + "\n").encode())
        print(name, f"{Estimate.mean(row['psnr_mean']).value:.2f} dB", flush=True)

    for fraction, steps in [(plan["fraction"], n) for n in STEPS] + [
        (f, SIZE_STEPS) for f in SIZES
    ]:
        name = f"{fraction:g} of the prior, {steps} steps"
        if name in rows:
            continue
        torch.manual_seed(0)
        h = LearnedHTransform.for_prior(prior, fraction=fraction)
        result = train(
            h,
            prior,
            DenoisingScoreMatching(problem, times=LAW),
            bank,
            steps=steps,
            batch_size=plan["batch_size"],
            learning_rate=plan["learning_rate"],
            precision=settled(prior, "auto", args.out),
            validation=validation,
            validation_draws=1000,
            validate_every=steps,
            out=args.out / name.replace(" ", "-").replace(",", ""),
        )
        assert result.validation is not None
        facts = {
            "fraction": fraction,
            "parameters": h.num_parameters,
            "steps": steps,
            "seconds": result.seconds,
            "loss": result.validation.loss,
        }
        keep(name, {**facts, **quality(h.eval(), DDIM(20, eta=1.0, grid=setting.grid))})
    if args.dps and "DPS" not in rows:
        tuned = json.loads(args.dps.read_text())
        keep(
            "DPS",
            {
                "zeta": tuned["best"],
                "steps": tuned["steps"],
                **quality(*dps(prior, tuned["steps"], tuned["best"])),
            },
        )
    draw(rows, plan["fraction"], args.out, args.problem)


def draw(rows: dict[str, Any], fraction: float, out: Path, problem: str) -> None:
    """Two charts: against seconds of training, and against parameters."""
    learned = [row for row in rows.values() if "fraction" in row]
    parts = {
        "time": (
            [row for row in learned if row["fraction"] == fraction],
            "seconds",
            "training, seconds of one core",
        ),
        "size": (
            [row for row in learned if row["steps"] == SIZE_STEPS],
            "parameters",
            f"parameters of h, {SIZE_STEPS} steps",
        ),
    }
    for name, (chosen, key, label) in parts.items():
        chosen = sorted(chosen, key=lambda row: row[key])
        x = [row[key] for row in chosen]
        series = []
        for measure, words in (("psnr_mean", "mean of 4"), ("psnr_single", "one sample")):
            estimates = [Estimate.mean(row[measure]) for row in chosen]
            series.append(
                Series(
                    f"DEFT-20, {words}",
                    x,
                    [e.value for e in estimates],
                    [e.standard_error for e in estimates],
                )
            )
            if "DPS" in rows:
                level = Estimate.mean(rows["DPS"][measure]).value
                series.append(
                    Series(f"DPS-500, {words}", [x[0], x[-1]], [level, level], faint=True)
                )
        chart = scatter_chart(
            series,
            label,
            "PSNR (dB)",
            log_x=True,
            joined=True,
            title=f"{problem}: quality against {name}",
        )
        (out / f"{problem}-{name}.svg").write_text(as_file(chart))


if __name__ == "__main__":
    main()
