"""Where a frozen prior is asked: h-transforms of equal size and training, asked at x_t, at the
pivot and at the pivot with the matched noise level.

    python benchmarks/studies/pivot.py benchmarks/quality/digits.yaml --data DIGITS_FOLDER \\
        --out runs/pivot-digits [--problems box-0.05 sr4-0.05] [--seeds 0] [--steps 400]

Each is trained for so many steps of 64 signals, from the same start and on the same draws.
What is measured, on 200 validation images and the same draws for all: the loss in units of r_t^2 at
fixed log-SNRs, before and after the training; of samples of 32 images, four each, by 20 steps of
DPMSolver: PSNR of the mean, misfit, and the CRPS.
One file of results, kept after every run; the same command goes on from where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deft.htransforms.base import HTransform, ask
from deft.htransforms.learned import LearnedHTransform
from deft.metrics.calibration import crps
from deft.metrics.image import psnr
from deft.noise import Noise, mix
from deft.posterior import Posterior
from deft.samplers.dpm_solver import DPMSolver
from deft.storage import provenance
from deft.storage.atomic import atomic
from deft.training.denoising import DenoisingScoreMatching
from deft.training.loop import train

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from setting import Setting

WHERE = ("x_t", "pivot", "matched")
LOG_SNRS = (-6.0, -4.0, -2.0, -1.0, 0.0, 2.0, 4.0, 6.0)
FRACTION, BATCH = 0.09, 64


@torch.no_grad()
def losses(setting: Setting, name: str, h: HTransform, held_out: Tensor) -> list[float]:
    """||(x_0 - x_0_hat - shift) / r_t||^2 per entry, at each log-SNR."""
    prior, problem = setting.prior, setting.problem(name)
    noise = Noise([mix(7, i) for i in range(len(held_out))])
    observation = problem.draw(held_out, noise.stream(1))
    found = []
    for k, log_snr in enumerate(LOG_SNRS):
        t = prior.schedule.snap(prior.schedule.time(torch.tensor([log_snr], dtype=torch.float64)))
        alpha_t, sigma_t = prior.levels(held_out, t)
        x_t = alpha_t * held_out + sigma_t * prior.noise(noise, k + 2)
        parts = []
        for part in torch.arange(len(held_out)).split(100):
            here = observation.take(part)
            said = ask(h, prior, x_t[part], t, here)
            left = held_out[part] - said.x_0_hat - h.shift(said, here)  # type: ignore[arg-type]
            parts.append((left / said.spread(prior.scale)).square().flatten(1).mean(1))
        found.append(round(float(torch.cat(parts).mean()), 5))
    return found


@torch.no_grad()
def quality(setting: Setting, name: str, h: HTransform, held_out: Tensor) -> dict[str, float]:
    """Of posterior samples."""
    prior, problem = setting.prior, setting.problem(name)
    observation = problem.draw(held_out, Noise([mix(3, 6, i) for i in range(len(held_out))]))
    x = DPMSolver(20)(Posterior(prior, h, observation), 4, seed=3, batch_size=64)
    each = observation.repeat(4)
    misfit = each.likelihood.misfit(x.flatten(0, 1), each.y).square().mean().sqrt()
    values = psnr(x.mean(1), held_out, 2.0)
    return {
        "psnr_mean": round(float(values.mean()), 4),
        "psnr_standard_error": round(float(values.std() / len(values) ** 0.5), 4),
        "misfit": round(float(misfit), 4),
        "crps": round(float(crps(x, held_out).mean()), 6),
    }


def main() -> None:
    """Train and measure what is missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problems", nargs="+", default=["box-0.05", "freeform-0.05", "sr4-0.05"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--steps", type=int, default=400)
    args, setting = Setting.of(parser)
    args.out.mkdir(parents=True, exist_ok=True)
    file = args.out / "results.json"
    kept: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {"rows": {}}
    kept |= {
        "prior": setting.config["prior"],
        "log_snr": LOG_SNRS,
        "noise": Noise.generator,
        "commit": provenance.commit(),
        "machine": provenance.machine("cpu"),
    }
    images, held_out = setting.images("train"), setting.images("val", 200)
    for name in args.problems:
        for seed in args.seeds:
            for where in WHERE:
                row = f"{name}, {where}, {args.steps} steps, seed {seed}"
                if row in kept["rows"]:
                    continue
                torch.manual_seed(seed)
                h = LearnedHTransform.for_prior(setting.prior, fraction=FRACTION, point=where)
                before, start = losses(setting, name, h, held_out), time.process_time()
                objective = DenoisingScoreMatching(setting.problem(name))
                train(
                    h,
                    setting.prior,
                    objective,
                    images,
                    steps=args.steps,
                    batch_size=BATCH,
                    learning_rate=3e-3,
                    ema=0.99,
                    seed=seed,
                    progress=False,
                )
                kept["rows"][row] = {
                    "untrained": before,
                    "trained": losses(setting, name, h, held_out),
                    **quality(setting, name, h, held_out[:32]),
                    "cpu_seconds": round(time.process_time() - start, 1),
                }
                with atomic(file) as stream:
                    stream.write((json.dumps(kept, indent=1) + "\n").encode())
                found = kept["rows"][row]
                mean = sum(found["trained"]) / len(LOG_SNRS)
                print(f"{row}: mean loss {mean:.4f}, {found['psnr_mean']:.2f} dB", flush=True)


if __name__ == "__main__":
    main()
