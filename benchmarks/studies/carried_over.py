"""What made h-transforms learn mixtures, tried on images: Fourier features of y, and training times
moved to where the error lies.

    python benchmarks/studies/carried_over.py benchmarks/quality/digits.yaml --data DIGITS_FOLDER \\
        --problem box-0.05 --out benchmarks/results/carried-over --work runs/carried-over

    plain       what `LearnedHTransform` reads, at the training times of recipes/train_h.py
    octaves     and sin and cos of 2^j lift(y), j = 0, 1, 2
    uniform
        plain, with training times uniform in log-SNR:
            what moving them to where the validation loss lies, as the recipe does, is worth

Each is trained from nothing with as many steps, once for each seed. All are measured alike: the
loss on one bank of validation images at the times of the recipe, and on validation images 200 to
231 the PSNR of the mean of eight samples and the CRPS. Differences to `plain` are paired by seed;
the standard error is over seeds. One JSON file; the same command does what is missing.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch
from ablated import Ablated

from deft.metrics.calibration import crps
from deft.metrics.image import psnr
from deft.noise import Noise, mix
from deft.posterior import Posterior
from deft.priors.precision import settled
from deft.samplers.dpm_solver import DPMSolver
from deft.storage import provenance
from deft.storage.atomic import atomic
from deft.studies.estimate import Estimate
from deft.training.bank import Bank
from deft.training.denoising import DenoisingScoreMatching, TimeLaw
from deft.training.loop import train
from deft.training.sources import Images

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from setting import Setting
from train_h import LAW

PLAIN = ("x_t", "x_0_hat", "guidance", "lift", "coverage")
EVEN = TimeLaw(uniform=1.0)
MEASURES = {"loss": 4, "psnr_mean": 3, "crps": 5}


def main() -> None:
    """Train and measure what is missing, then print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problem", required=True)
    parser.add_argument("--work", type=Path, required=True, help="for banks and training states")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=3)
    args, setting = Setting.of(parser)
    plan, prior, problem = setting.config["h"], setting.prior, setting.problem(args.problem)
    images = Images(setting.images("train"), prior)
    mixed = Bank.build(prior, images, plan["bank"], LAW, seed=0, out=args.work / "bank")
    even = Bank.build(prior, images, plan["bank"], EVEN, seed=0, out=args.work / "bank-uniform")
    validation = Bank.build(
        prior,
        Images(setting.images("val", 500), prior),
        1000,
        LAW,
        seed=1,
        out=args.work / "bank-validation",
    )
    held_out = setting.images("val", 32, start=200)
    observation = problem.draw(held_out, Noise([mix(3, 6, i) for i in range(len(held_out))]))
    variants = {
        "plain": (PLAIN, mixed),
        "octaves": ((*PLAIN, "octaves"), mixed),
        "uniform": (PLAIN, even),
    }
    file = args.out / f"{args.problem}.json"
    card = {
        "problem": args.problem,
        "prior": setting.config["prior"],
        "steps": args.steps,
        "commit": provenance.commit(),
    }
    kept = json.loads(file.read_text()) if file.exists() else {**card, "rows": {}}
    for seed in range(args.seeds):
        for name, (reads, source) in variants.items():
            if f"{name}-{seed}" in kept["rows"]:
                continue
            torch.manual_seed(seed)
            h = Ablated.for_prior(prior, plan["fraction"], reads, "guidance")
            result = train(
                h,
                prior,
                DenoisingScoreMatching(problem, times=LAW),
                source,
                steps=args.steps,
                batch_size=plan["batch_size"],
                learning_rate=plan["learning_rate"],
                precision=settled(prior, "auto", args.work),
                seed=seed,
                validation=validation,
                validation_draws=2000,
                validate_every=args.steps,
                out=args.work / f"{args.problem}-{name}-{seed}",
            )
            samples = DPMSolver(20)(
                Posterior(prior, h.eval(), observation), 8, seed=3, batch_size=64
            )
            assert result.validation is not None
            row = {
                "loss": result.validation.loss,
                "bins": result.validation.card()["bins"],
                "parameters": h.num_parameters,
            }
            row |= {
                "psnr_mean": float(psnr(samples.mean(1), held_out, 2.0).mean()),
                "crps": float(crps(samples, held_out).mean()),
            }
            kept["rows"][f"{name}-{seed}"] = {**row, "seconds": result.seconds}
            with atomic(file) as stream:
                stream.write((json.dumps(kept, indent=1) + "\n").encode())
            print(name, seed, {key: row[key] for key in MEASURES}, flush=True)
    for name in variants:
        for key, digits in MEASURES.items():
            values = [kept["rows"][f"{name}-{s}"][key] for s in range(args.seeds)]
            gap = Estimate.mean([v - kept["rows"][f"plain-{s}"][key] for s, v in enumerate(values)])
            print(
                f"{name:8} {key:10} {Estimate.mean(values).value:.{digits}f}   less plain "
                f"{gap.value:+.{digits}f} +- {gap.standard_error:.{digits}f}"
            )


if __name__ == "__main__":
    main()
