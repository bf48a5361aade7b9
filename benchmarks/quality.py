"""Posterior samples of DEFT and of the methods it is compared with, side by side: quality against
the truth, on the same prior, observations and seeds.

    python benchmarks/quality.py benchmarks/quality/digits.yaml --data DIGITS_FOLDER --h \\
        runs/h-digits --out runs/quality-digits [--only box-0.05] [--methods dps deft]

The YAML file says everything that a result depends on: a section for each method. DPS (zeta), DDNM+
(eta), RED-diff and DiffPIR (lambda), DAPS (the Langevin step) are tuned on validation images by the
PSNR of the mean; DDNM takes the place of DDNM+ at sigma_y = 0, where it has no parameter. A section
`classical` adds the filtered back-projection, total variation and regression
(benchmarks/classical.py). DEFT draws with DDIM (eta) and, at the numbers of steps in
`second_order`, with DPM-Solver++ 2M. `--h` is the folder that `recipes/train_h.py` wrote: one
`PROBLEM.safetensors` for each problem (`h_of` in the section `deft` names another's). Each problem
leaves `OUT/PROBLEM/results.json` and `report.html`; finished parts are kept, so that the same
command goes on from where it was stopped.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import classical
import torch
from safetensors.torch import load_file, save
from setting import Setting
from torch import Tensor

from deft.errors import DeftError
from deft.htransforms.base import HTransform
from deft.htransforms.ddnm import DDNM
from deft.htransforms.dps import DPS
from deft.metrics.image import psnr
from deft.noise import Noise, mix
from deft.operators.base import LinearOperator, SpectralOperator
from deft.operators.matrix import Matrix
from deft.priors.base import Prior
from deft.problems import Problem
from deft.reports.page import write_report
from deft.samplers.base import Sampling
from deft.samplers.daps import DAPS
from deft.samplers.ddim import DDIM
from deft.samplers.ddnm_plus import DDNMPlus
from deft.samplers.diffpir import DiffPIR
from deft.samplers.dpm_solver import DPMSolver
from deft.samplers.red_diff import REDDiff
from deft.storage.atomic import atomic
from deft.studies.evaluation import evaluate
from deft.studies.method import Method
from deft.studies.tune import geometric_grid, tune
from deft.training import checkpoint


def dps(prior: Prior, steps: int, zeta: float) -> tuple[HTransform | None, Sampling]:
    """DPS as published, with its own ancestral sampler."""
    sampler = DDIM(steps=steps, eta=1.0)
    return DPS.published(zeta), sampler


def ddnm_plus(
    prior: Prior, steps: int, eta: float, operator: SpectralOperator | None = None
) -> tuple[HTransform | None, Sampling]:
    """DDNM+, which conditions by itself."""
    return None, DDNMPlus(steps, eta=eta, operator=operator)


def decomposed(prior: Prior, problem: Problem, image: Tensor, file: Path) -> Matrix:
    """The matrix of a problem's operator, which all signals share, decomposed; kept in a file,
    since it takes minutes.
    """
    if not file.exists():
        operator = problem.draw(image[None], Noise([0])).operator
        assert isinstance(operator, LinearOperator)
        parts = Matrix.of(operator, prior.event_shape, smallest=5e-3).parts
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic(file) as stream:
            stream.write(save({name: part.contiguous() for name, part in zip("usv", parts)}))
    found = load_file(file)
    return Matrix.decomposed(found["u"], found["s"], found["v"], prior.event_shape)


def red_diff(
    prior: Prior, steps: int, weight: float, learning_rate: float = 0.1
) -> tuple[HTransform | None, Sampling]:
    """RED-diff, which conditions by itself."""
    return None, REDDiff(steps, weight=weight, learning_rate=learning_rate)


def diffpir(
    prior: Prior, steps: int, weight: float, zeta: float = 0.1
) -> tuple[HTransform | None, Sampling]:
    """DiffPIR, which conditions by itself."""
    return None, DiffPIR(steps, weight=weight, zeta=zeta)


def daps(
    prior: Prior,
    steps: int,
    step_size: float,
    ode_steps: int = 5,
    langevin_steps: int = 50,
    noise_level: float | None = None,
) -> tuple[HTransform | None, Sampling]:
    """DAPS, which conditions by itself, with `steps` evaluations; tau is the measurement's own
    sigma_y unless `noise_level` says it.
    """
    return None, DAPS(
        steps // ode_steps, ode_steps, langevin_steps, step_size=step_size, noise_level=noise_level
    )


@final
@dataclass(frozen=True)
class Tunable:
    """A method with one parameter that is tuned; its section in the YAML file holds `steps`, the
    grid of the parameter, and other arguments of `make`.
    """

    key: str
    title: str
    parameter: str
    make: Callable[..., tuple[HTransform | None, Sampling]]
    file: str
    bounds: tuple[float, float] = (0.0, 1e9)

    def method(
        self,
        prior: Prior,
        problem: Problem,
        images: Tensor,
        plan: Mapping[str, Any],
        config: Mapping[str, Any],
        folder: Path,
    ) -> Method:
        """The method at its best value."""
        others = {
            name: value
            for name, value in plan.items()
            if name not in ("steps", "images", "without_noise", self.parameter)
        }
        steps = plan["steps"]

        def build(value: float) -> tuple[HTransform | None, Sampling]:
            return self.make(prior, steps, value, **others)

        table = self._tuned(
            build,
            prior,
            problem,
            images,
            steps,
            plan[self.parameter],
            config,
            folder / f"tuned-{self.file}.json",
        )
        return Method(
            f"{self.title}-{steps}", *build(table["best"]), tuned=table, images=plan.get("images")
        )

    def _tuned(
        self,
        build: Callable[[float], tuple[HTransform | None, Sampling]],
        prior: Prior,
        problem: Problem,
        images: Tensor,
        steps: int,
        grid: list[float],
        config: Mapping[str, Any],
        out: Path,
    ) -> dict:
        """The best value on validation images, kept in a file."""
        if out.exists():
            return json.loads(out.read_text())
        seed = config["seed"]
        observation = problem.draw(images, Noise([mix(seed, 6, i) for i in range(len(images))]))

        def run(value: float) -> float:
            h, sampler = build(value)
            try:
                samples = sampler.draw(
                    prior, config["samples"], observation=observation, h_transform=h, seed=seed
                ).x_0
            except DeftError:  # it diverged
                return float("nan")
            aligned = torch.stack(
                [observation.operator.align(x, images) for x in samples.unbind(1)], dim=1
            )
            return (
                float(psnr(aligned.mean(1), images, 2.0).mean())
                if bool(torch.isfinite(aligned).all())
                else float("nan")
            )

        result = tune(
            run,
            geometric_grid(*grid),
            metric="PSNR of the mean, dB",
            larger_is_better=True,
            bounds=self.bounds,
            on_value=lambda value, score: print(
                f"  {self.key} {value:.4g}: {score:.2f} dB", flush=True
            ),
        )
        card = {
            "parameter": self.parameter,
            "steps": steps,
            "images": len(images),
            **config,
            **result.card(),
        }
        card["best"] = result.value
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(card, indent=1))
        return card


TUNABLE = (
    Tunable("dps", "DPS", "zeta", dps, "dps"),
    Tunable("ddnm_plus", "DDNM+", "eta", ddnm_plus, "ddnm", (0.01, 1.0)),
    Tunable("red_diff", "RED-diff", "weight", red_diff, "red-diff"),
    Tunable("diffpir", "DiffPIR", "weight", diffpir, "diffpir"),
    Tunable("daps", "DAPS", "step_size", daps, "daps"),
)


def main() -> None:
    """Run the problems of a YAML file, one after the other."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--h", type=Path, help="the folder of learned h-transforms")
    parser.add_argument(
        "--regression",
        type=Path,
        help="the folder of benchmarks/regression.py, where the file has a section `classical`",
    )
    parser.add_argument("--only", nargs="*", help="some of the problems")
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=["classical", *(m.key for m in TUNABLE), "deft"],
        help="some of the methods, by their sections of the file",
    )
    parser.add_argument(
        "--images",
        type=int,
        help="no method on more than so many of the test images, the first ones",
    )
    args, setting = Setting.of(parser)
    if args.images is not None and args.images < 1:
        parser.error(f"--images {args.images} is no number of images; it is 1 or more")
    if args.h is None and "deft" in (args.methods or ["deft"]):
        parser.error(
            "DEFT needs --h, the folder that recipes/train_h.py wrote; --methods says which "
            "methods to run without it"
        )
    config, prior = setting.config, setting.prior
    test = setting.images(config["test"]["split"], config["test"]["count"])
    validation = setting.images(config["validation"]["split"], config["validation"]["count"])
    asked = set(args.methods or ["classical", *(m.key for m in TUNABLE), "deft"])
    print(f"{len(test)} images to test, {len(validation)} to tune on", flush=True)
    for name in args.only or config["problems"]:
        problem = setting.problem(name)
        folder = args.out / name
        print(name, flush=True)
        methods = (
            classical.methods(setting, name, validation, folder, args.regression)
            if {"classical"} <= asked & config.keys()
            else []
        )
        for method in (method for method in TUNABLE if method.key in asked & config.keys()):
            plan = dict(config[method.key])
            if problem.sigma_y == 0 and not plan.get("without_noise", True):
                continue
            if plan.pop("decomposed", False):  # the operator has no decomposition of its own
                plan["operator"] = decomposed(
                    prior, problem, validation[0], folder / "decomposed.safetensors"
                )
            if method.key == "ddnm_plus" and problem.sigma_y == 0:
                methods.append(
                    Method(f"DDNM-{plan['steps']}", DDNM(), DDIM(steps=plan["steps"], eta=0.85))
                )
            else:
                methods.append(
                    method.method(prior, problem, validation, plan, config["tuning"], folder)
                )
        card = None
        if "deft" in asked:
            h, card = checkpoint.load(
                args.h / f"{config['deft'].get('h_of', {}).get(name, name)}.safetensors", prior
            )
            seconds = card["training"]["seconds"]  # type: ignore[index, call-overload]
            plan = config["deft"]
            samplers = {n: DDIM(steps=n, eta=plan["eta"], grid=setting.grid) for n in plan["steps"]}
            methods += [
                Method(f"DEFT-{n}-2M", h, DPMSolver(n), training_seconds=seconds)
                for n in plan.get("second_order", [])
            ]
            methods += [
                Method(f"DEFT-{n}", h, sampler, training_seconds=seconds)
                for n, sampler in samplers.items()
            ]
        if args.images:
            methods = [
                replace(method, images=min(method.images or len(test), args.images))
                for method in methods
            ]
        evaluate(
            prior,
            problem,
            test,
            methods,
            out=folder,
            samples=config["samples"],
            seed=config["seed"],
            reference=methods[-1].label,
            clip=config.get("clip", False),
        )
        write_report(folder, title=f"{config['prior']}: {name}", card=card)


if __name__ == "__main__":
    main()
