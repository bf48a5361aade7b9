"""Posterior samples of DEFT, DPS and DDNM+ side by side: quality against the truth, on the same prior, observations and seeds.

    python benchmarks/quality.py benchmarks/quality/digits.yaml --data DIGITS_FOLDER --h runs/h-digits --out runs/quality-digits [--only box-0.05] [--baselines]

The YAML file says everything that a result depends on. DPS (zeta) and DDNM+ (eta) are tuned on validation images by the PSNR of the mean; DDNM takes the
place of DDNM+ at sigma_y = 0, where it has no parameter. `--h` is the folder that `recipes/train_h.py` wrote: one `PROBLEM.safetensors` for each problem. Each problem
leaves `OUT/PROBLEM/results.json` and `report.html`; finished parts are kept, so that the same command goes on from where it was stopped.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from setting import Setting
from torch import Tensor

from deft.htransforms.base import HTransform, NoConditioning
from deft.htransforms.ddnm import DDNM
from deft.htransforms.dps import DPS
from deft.metrics.image import psnr
from deft.noise import Noise, mix
from deft.posterior import Posterior
from deft.priors.base import Prior
from deft.problems import Problem
from deft.reports.evaluation import Method, evaluate
from deft.reports.page import write_report
from deft.samplers.base import Sampler
from deft.samplers.ddim import DDIM
from deft.samplers.ddnm_plus import DDNMPlus
from deft.training import checkpoint
from deft.training.tune import geometric_grid, tune


def dps(prior: Prior, steps: int, zeta: float) -> tuple[HTransform, Sampler]:
    """DPS as published, with its own ancestral sampler."""
    sampler = DDIM(steps=steps, eta=1.0)
    return DPS.published(zeta, sampler.grid.times(prior.schedule, steps), 1.0, prior.schedule), sampler


def ddnm_plus(prior: Prior, steps: int, eta: float) -> tuple[HTransform, Sampler]:
    """DDNM+, which conditions by itself."""
    return NoConditioning(), DDNMPlus(steps, eta=eta)


def tuned(
    make: Any, prior: Prior, problem: Problem, images: Tensor, steps: int, grid: list[float], config: dict[str, Any], out: Path
) -> dict:
    """The best value of a method's parameter on validation images, kept in a file."""
    if out.exists():
        return json.loads(out.read_text())
    seed = config["seed"]
    observation = problem.draw(images, Noise([mix(seed, 6, i) for i in range(len(images))]))

    def run(value: float) -> float:
        h, sampler = make(prior, steps, value)
        samples = sampler(Posterior(prior, h, observation), config["samples"], seed=seed)
        return float(psnr(samples.mean(1), images, 2.0).mean()) if bool(torch.isfinite(samples).all()) else float("nan")

    bounds = (0.01, 1.0) if make is ddnm_plus else (0.0, 1e9)
    result = tune(
        run,
        geometric_grid(*grid),
        metric="PSNR of the mean, dB",
        larger_is_better=True,
        bounds=bounds,
        on_value=lambda value, score: print(f"  {make.__name__} {value:.4g}: {score:.2f} dB", flush=True),
    )
    card = {"parameter": "zeta" if make is dps else "eta", "steps": steps, "images": len(images), **config, **result.card()}
    card |= {"values": [v for v, _ in result.table], "scores": [s for _, s in result.table], "best": result.value}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(card, indent=1))
    return card


def main() -> None:
    """Run the problems of a YAML file, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--h", type=Path, help="the folder of learned h-transforms")
    parser.add_argument("--only", nargs="*", help="some of the problems")
    parser.add_argument("--baselines", action="store_true", help="leave DEFT out, before its h-transforms are there")
    args, setting = Setting.of(parser)
    config, prior = setting.config, setting.prior
    test = setting.images(config["test"]["split"], config["test"]["count"])
    validation = setting.images(config["validation"]["split"], config["validation"]["count"])
    for name in args.only or config["problems"]:
        problem = setting.problem(name)
        folder = args.out / name
        print(name, flush=True)
        plan = config["dps"]
        table = tuned(dps, prior, problem, validation, plan["steps"], plan["zeta"], config["tuning"], folder / "tuned-dps.json")
        methods = [Method(f"DPS-{plan['steps']}", *dps(prior, plan["steps"], table["best"]), tuned=table, images=plan["images"])]
        plan = config["ddnm_plus"]
        if name.endswith("-0"):
            methods.append(Method(f"DDNM-{plan['steps']}", DDNM(), DDIM(steps=plan["steps"], eta=0.85)))
        else:
            table = tuned(ddnm_plus, prior, problem, validation, plan["steps"], plan["eta"], config["tuning"], folder / "tuned-ddnm.json")
            methods.append(Method(f"DDNM+-{plan['steps']}", *ddnm_plus(prior, plan["steps"], table["best"]), tuned=table))
        card = None
        if not args.baselines:
            h, card = checkpoint.load(args.h / f"{name}.safetensors", prior)
            seconds = card["training"]["seconds"]  # type: ignore[index, call-overload]
            plan = config["deft"]
            samplers = {n: DDIM(steps=n, eta=plan["eta"], grid=setting.grid) for n in plan["steps"]}
            methods += [Method(f"DEFT-{n}", h, sampler, training_seconds=seconds) for n, sampler in samplers.items()]
        evaluate(prior, problem, test, methods, out=folder, samples=config["samples"], seed=config["seed"], reference=methods[-1].label)
        write_report(folder, title=f"{config['prior']}: {name}", card=card)


if __name__ == "__main__":
    main()
