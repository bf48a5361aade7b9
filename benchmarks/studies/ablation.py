"""The ablation of Denker et al. 2024, Table 6: what a learned h-transform gains from each of its
inputs.

    python benchmarks/studies/ablation.py benchmarks/quality/ct.yaml --data CT_FOLDER --bank \\
        runs/h-ct/bank --out runs/ablation-ct [--only adjoint full] [--seeds 0 1 2]

    adjoint         NN1(x_t, A^T y)
    estimate        NN1(x_t, x_0_hat, A^T y)
    guidance        NN1(x_t, g) + NN2 g, without x_0_hat
    full            NN1(x_t, x_0_hat, g) + NN2 g
    library         LearnedHTransform: that, with lift(y) and the coverage
    paper           PaperHTransform: full, with the raw gradient of the likelihood
    back-projection full, with the raw filtered back-projection of the residual in its place

Each is trained from nothing with as many steps on the same bank, once for each seed, and measured
on the same observations; the section `ablation` of the YAML file says on which problem, how long,
and with how many samples. One JSON file for each training in OUT; the same command does what is
missing, and prints the table, with the gaps between neighbours: the standard error is over seeds,
each seed's gap being the mean over images.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from ablated import Ablated

from deft.htransforms.base import HTransform
from deft.htransforms.learned import LearnedHTransform
from deft.metrics.image import misfit, psnr, root_mean_square, ssim
from deft.noise import Noise, mix
from deft.posterior import Posterior
from deft.priors.precision import settled
from deft.samplers.ddim import DDIM
from deft.storage import provenance
from deft.storage.atomic import atomic
from deft.studies.estimate import Estimate
from deft.training.bank import Bank
from deft.training.denoising import DenoisingScoreMatching
from deft.training.loop import train

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from setting import Setting
from train_h import law

VARIANTS: dict[str, Callable[..., HTransform]] = {  # of the prior; fraction, patch and fine
    "adjoint": partial(Ablated.for_prior, reads=("x_t", "adjoint"), follows=None),
    "estimate": partial(Ablated.for_prior, reads=("x_t", "x_0_hat", "adjoint"), follows=None),
    "guidance": partial(Ablated.for_prior, reads=("x_t", "guidance"), follows="guidance"),
    "full": partial(Ablated.for_prior, reads=("x_t", "x_0_hat", "guidance"), follows="guidance"),
    "library": LearnedHTransform.for_prior,
    "paper": LearnedHTransform.paper,
    "back-projection": partial(
        Ablated.for_prior, reads=("x_t", "x_0_hat", "back_projection"), follows="back_projection"
    ),
}


def table(out: Path, seeds: list[int]) -> str:
    """What is there: PSNR and SSIM of the mean, PSNR of a sample, and the gap to the row above."""
    lines = [
        "| | parameters | seeds | PSNR of the mean (dB) | gap to the row above (the last two: to "
        "`full`) | PSNR of a sample (dB) | SSIM of the mean | misfit |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    found: dict[str, dict[int, float]] = {}
    for name in VARIANTS:
        rows = {
            seed: json.loads(path.read_text())
            for seed in seeds
            if (path := out / f"{name}-{seed}.json").exists()
        }
        if not rows:
            continue
        every = {seed: _mean(row["psnr_mean"]) for seed, row in rows.items()}
        means = {seed: value for seed, value in every.items() if math.isfinite(value)}
        if len(means) < len(
            every
        ):  # samples that are not finite: a mean over the other seeds would hide it
            lines.append(
                f"| {name} | | {len(every)} | diverged in {len(every) - len(means)}; else "
                f"{_estimate(list(means.values()), 2)} | | | | |"
            )
            continue
        before = found.get(
            "full" if name in ("paper", "back-projection") else next(reversed(found), ""), {}
        )
        gaps = [means[seed] - before[seed] for seed in means if seed in before]
        cells = [
            str(next(iter(rows.values()))["parameters"]),
            str(len(rows)),
            _estimate(list(means.values()), 2),
        ]
        cells.append(_estimate(gaps, 2, sign="+") if gaps else "")
        for key, digits in (("psnr_single", 2), ("ssim_mean", 3), ("misfit", 3)):
            cells.append(_estimate([_mean(row[key]) for row in rows.values()], digits))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
        found[name] = means
    return "\n".join(lines)


def _mean(values: list[float | None]) -> float:
    """The mean over images; NaN where that of an image was not finite, which JSON says as null."""
    return (
        math.nan
        if None in values
        else sum(value for value in values if value is not None) / len(values)
    )


def _estimate(values: list[float], digits: int, sign: str = "") -> str:
    estimate = Estimate.mean(values)
    error = f" ± {estimate.standard_error:.{digits}f}" if len(values) > 1 else ""
    return f"{estimate.value:{sign}.{digits}f}{error}".replace("-", "−")


def main() -> None:
    """Train and measure what is missing, then print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--bank", type=Path, required=True, help="where recipes/train_h.py left its bank"
    )
    parser.add_argument("--only", nargs="*", choices=list(VARIANTS), help="some of the rows")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    args, setting = Setting.of(parser)
    config, prior = setting.config, setting.prior
    plan, seed = config["ablation"], config["seed"]
    shape = {key: config["h"][key] for key in ("fraction", "patch", "fine") if key in config["h"]}
    problem = setting.problem(plan["problem"])
    bank = Bank.open(args.bank, prior)
    test = setting.images(config["test"]["split"], plan["images"])
    observation = problem.draw(test, Noise([mix(seed, 4, i) for i in range(len(test))]))
    sampler = DDIM(steps=plan["steps_of_sampler"], eta=config["deft"]["eta"], grid=setting.grid)

    def measured(h: HTransform) -> dict[str, list[float | None]]:
        samples = sampler(
            Posterior(prior, h, observation),
            plan["samples"],
            seed=[mix(seed, 5, i) for i in range(len(test))],
            batch_size=64,
        )
        cut = samples.clamp(-1, 1) if config.get("clip") else samples
        single = torch.stack([psnr(cut[:, j], test, 2.0) for j in range(plan["samples"])]).mean(0)
        away = torch.stack(
            [misfit(samples[:, j], observation) for j in range(plan["samples"])], dim=1
        )
        found = {
            "psnr_mean": psnr(cut.mean(1), test, 2.0),
            "psnr_single": single,
            "ssim_mean": ssim(cut.mean(1), test, 2.0),
        }
        found["misfit"] = torch.stack([root_mean_square(row) for row in away])
        return {
            key: [value if math.isfinite(value) else None for value in values.tolist()]
            for key, values in found.items()
        }

    for number in args.seeds:
        for name in args.only or VARIANTS:
            file = args.out / f"{name}-{number}.json"
            if file.exists():
                continue
            torch.manual_seed(number)
            h = VARIANTS[name](prior, **shape)
            result = train(
                h,
                prior,
                DenoisingScoreMatching(problem, times=law(config["h"])),
                bank,
                steps=plan["steps"],
                batch_size=plan["batch_size"],
                learning_rate=config["h"]["learning_rate"],
                precision=settled(prior, "auto", args.out),
                seed=number,
                out=args.out / f"{name}-{number}",
                save_every=100,
            )
            row: dict[str, Any] = {
                **plan,
                "variant": name,
                "seed": number,
                "parameters": h.num_parameters,
                "commit": provenance.commit(),
            }
            row |= {"seconds": result.seconds, "prior": config["prior"], **measured(h.eval())}
            with atomic(file) as stream:
                stream.write((json.dumps(row, indent=1, allow_nan=False) + "\n").encode())
            print(
                f"{name}, seed {number}: {_mean(row['psnr_mean']):.2f} dB, {result.seconds:.0f} s",
                flush=True,
            )
    print(table(args.out, args.seeds))


if __name__ == "__main__":
    main()
