"""DPS, PiGDM and DiffPIR beside deepinv's and azula's own: the same prior, operators, measurements,
times and step sizes, other random numbers.

    pip install -c constraints.txt azula==0.11.1 'deft-diffusion[deepinv]'
            in an environment of its own: they bring torchvision
    python benchmarks/peers.py --data DIGITS_FOLDER [--out benchmarks/results/peers.json] \\
        [--images 16] [--samples 2] [--only NAME ...]

Each comparison wraps `digits-32` as the other library's denoiser and converts its step sizes
exactly:

    azula DPS        x_s - zeta grad ||y - A x_0_hat||
            DPS.published(zeta); azula takes the norm over the batch, so that it runs one by one
    deepinv DPS      score - (w / 2) grad ||y - A x_0_hat||
        DPS(w / 2): [0, 1] halves the norm and doubles the gradient, and the range halves it again
    azula PGDM       x_s + alpha_s alpha_t J^T A^+ (y - A x_0_hat)
            PiGDM.published, times alpha_s; sigma_y = 0
    deepinv PiGDM    r^2 = v^2 / (1 + v^2) in [0, 1], v = sigma / alpha
            PiGDM(scale=2): the unit of [0, 1] is 2 in [-1, 1]
    deepinv DiffPIR  argmin ||y - A x||^2 + 2 rho ||x - x_0_hat||^2
        DiffPIR(weight=lambda / 2), rho = lambda sigma_y^2 / v^2 with sigma_y in [0, 1], v in [-1,
            1]

The difference in PSNR is paired over images. Both also start from the same x_1 without random
numbers (eta = 0, zeta = 0; azula's DPS has no such setting: its draws are zeros), and the largest
difference of the results says whether they are the same map. deepinv's DiffPIR clips its estimates
to [0, 1] and leaves the result at its last noise level, 0.0100, where our schedule ends at 0.0105;
ours does neither, but for that one check. Leaves one JSON file.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, final
from unittest.mock import patch

import torch
from setting import READERS, as_float
from torch import Tensor, nn

from deft.htransforms.base import HTransform, NoConditioning
from deft.htransforms.dps import DPS
from deft.htransforms.pigdm import PiGDM
from deft.htransforms.weights import Tabulated
from deft.likelihoods import Observation
from deft.metrics.image import psnr
from deft.noise import Noise, mix
from deft.operators.base import LinearOperator
from deft.posterior import Posterior
from deft.priors import zoo
from deft.priors.base import Prior
from deft.problems import Inpainting, Problem, SuperResolution
from deft.samplers.base import Sampler
from deft.samplers.ddim import DDIM
from deft.samplers.diffpir import DiffPIR
from deft.samplers.grids import TimeGrid, UniformTime
from deft.schedules import Schedule
from deft.steps import State
from deft.transitions import Steps

if (
    torch.version.cuda is None
):  # torchvision's compiled operators do not fit a torch without CUDA; none is needed here
    sys.modules.setdefault(
        "torchvision._meta_registrations", ModuleType("torchvision._meta_registrations")
    )
import azula.denoise
import azula.guidance.dps
import azula.guidance.pgdm
import azula.noise
import deepinv

PROBLEMS: dict[str, Problem] = {
    "box-0.05": Inpainting("box", 0.05),
    "sr4-0.05": SuperResolution(4, sigma_y=0.05),
    "box-0": Inpainting("box", 0.0),
    "sr4-0": SuperResolution(4, sigma_y=0.0),
}
ZETA = {"box-0.05": 1.4, "sr4-0.05": 2.7}  # as tuned for benchmarks/quality.py, with 500 steps
WEIGHT = {"box-0.05": 40.0, "sr4-0.05": 80.0}  # deepinv's w
DPS_STEPS, PIGDM_STEPS, DIFFPIR_STEPS = 100, 100, 100
LAMBDA, ZETA_DIFFPIR = 7.0, 0.1  # deepinv's defaults
SEED = 0


@final
class At(TimeGrid):
    """Times from elsewhere."""

    def __init__(self, times: Tensor) -> None:
        self._times = times.double()

    def positions(self, schedule: Schedule, steps: int) -> Tensor:
        return self._times


@final
class AzulaSchedule(azula.noise.Schedule):
    """Ours, with no noise at t = 0: the last step returns the estimate."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self.schedule = schedule

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        alpha, sigma = self.schedule.alpha(t.double()), self.schedule.sigma(t.double())
        end = t <= 0
        return torch.where(end, 1.0, alpha).to(t), torch.where(end, 0.0, sigma).to(t)


@final
class AzulaDenoiser(azula.denoise.Denoiser):
    """Our prior as azula's."""

    def __init__(self, prior: Prior) -> None:
        super().__init__()
        self.prior, self.schedule = prior, AzulaSchedule(prior.schedule)

    def forward(self, x_t: Tensor, t: Tensor, **_: Any) -> azula.denoise.DiracPosterior:
        return azula.denoise.DiracPosterior(self.prior.denoise(x_t, t.reshape(-1)))


@final
class DeepinvDenoiser(nn.Module):
    """Our prior as deepinv's: D(x, sigma) for images in [0, 1] and x = x_0 + sigma eps."""

    def __init__(self, prior: Prior) -> None:
        super().__init__()
        self.prior = prior

    def forward(self, x: Tensor, sigma: Tensor | float, **_: Any) -> Tensor:
        level = 2 * torch.as_tensor(sigma, dtype=torch.float64).reshape(-1)
        t = self.prior.schedule.time(-2 * level.log())
        alpha = self.prior.schedule.alpha(t).reshape(-1, 1, 1, 1).to(x)
        return (self.prior.denoise(alpha * (2 * x - 1), t.to(x)) + 1) / 2


def physics(observation: Observation) -> Any:
    """The operator as deepinv's, for images in [0, 1]."""
    operator, noise = (
        observation.operator,
        deepinv.physics.GaussianNoise(float(observation.sigma_y[0]) / 2),
    )
    assert isinstance(operator, LinearOperator)
    return deepinv.physics.LinearPhysics(
        A=lambda x, **_: operator(x.float()),
        A_adjoint=lambda y, **_: operator.adjoint(y.float()),
        noise_model=noise,
    )


def in_unit_range(observation: Observation) -> Tensor:
    """y, of an image in [0, 1]: the operator does not change a constant, or hides it."""
    ones = observation.operator(torch.ones_like(observation.lifted))
    return (observation.y + ones) / 2


@final
class Clipped(Prior):
    """A prior whose estimates are clipped to [-1, 1]."""

    def __init__(self, prior: Prior) -> None:
        super().__init__()
        self.prior, self.schedule, self.event_shape, self.scale = (
            prior,
            prior.schedule,
            prior.event_shape,
            prior.scale,
        )

    def denoise(self, x_t: Tensor, t: Tensor) -> Tensor:
        return self.prior.denoise(x_t, t).clamp(-1, 1)


@final
class Silent:
    """A source of noise without noise."""

    def normal(self, step: int, shape: tuple[int, ...]) -> Tensor:
        return torch.zeros(1, *shape)


@final
@dataclass(frozen=True)
class Comparison:
    """A method of ours and another library's: `peer(observation, x_1)` starts from x_1, or from its
    own, and draws from torch's generator.

    `last` is the noise level at which the peer leaves its result, where that is not denoised.
    """

    h_transform: HTransform
    sampler: Sampler
    peer: Callable[[Observation, Tensor | None], Tensor]
    settings: dict[str, float]
    last: Tensor | None = None


def azula_dps(prior: Prior, name: str, eta: float) -> Comparison:
    zeta, sampler = ZETA[name], DDIM(DPS_STEPS, eta=eta, grid=UniformTime())

    def peer(observation: Observation, x_1: Tensor | None) -> Tensor:
        parts = []
        for i in range(len(observation)):
            one = observation.take([i])
            theirs = azula.guidance.dps.DPSSampler(
                AzulaDenoiser(prior), one.y, one.operator, zeta, steps=DPS_STEPS, silent=True
            )
            parts.append(
                theirs(theirs.init((1, *prior.event_shape)) if x_1 is None else x_1[i : i + 1])
            )
        return torch.cat(parts)

    return Comparison(DPS.published(zeta), sampler, peer, {"steps": DPS_STEPS, "zeta": zeta})


def azula_pgdm(prior: Prior, name: str, eta: float) -> Comparison:
    sampler = DDIM(PIGDM_STEPS, eta=eta, grid=UniformTime())
    grid = sampler.grid.times(prior.schedule, PIGDM_STEPS)
    published = PiGDM.published().on(Steps(prior.schedule, grid, eta)).weight
    assert isinstance(published, Tabulated)
    alpha_s = torch.cat([prior.schedule.alpha(grid[1:]), torch.ones(1, dtype=grid.dtype)])

    def peer(observation: Observation, x_1: Tensor | None) -> Tensor:
        operator = observation.operator
        assert isinstance(operator, LinearOperator)
        theirs = azula.guidance.pgdm.PGDMSampler(
            AzulaDenoiser(prior),
            observation.y,
            operator,
            operator.pseudo_inverse,
            eta=eta**2,
            steps=PIGDM_STEPS,
            silent=True,
        )
        return theirs(theirs.init((len(observation), *prior.event_shape)) if x_1 is None else x_1)

    return Comparison(
        PiGDM(1.0, Tabulated(grid, published.values * alpha_s)),
        sampler,
        peer,
        {"steps": PIGDM_STEPS, "eta": eta},
    )


def deepinv_times(prior: Prior, steps: int) -> tuple[Tensor, At]:
    """deepinv's own times, 1 to 0, and ours at the same noise levels: their linear schedule
    begins at 0, ours at t_min.
    """
    theirs = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
    t_min = prior.schedule.t_min  # type: ignore[attr-defined]
    return theirs, At((theirs[:-1] - t_min) / (1 - t_min))


def deepinv_diffusion(
    prior: Prior, fidelity: Any, eta: float, times: Tensor
) -> Callable[[Observation, Tensor | None], Tensor]:
    """Their posterior diffusion, with the variance-preserving schedule of the prior and the DDIM
    solver.
    """

    def peer(observation: Observation, x_1: Tensor | None) -> Tensor:
        model = deepinv.sampling.PosteriorDiffusion(
            data_fidelity=fidelity,
            denoiser=DeepinvDenoiser(prior),
            sde=deepinv.sampling.VariancePreservingDiffusion(),
            solver=deepinv.sampling.DDIMSolver(timesteps=times, eta=eta, rng=torch.Generator()),
        )
        start = (len(observation), *prior.event_shape) if x_1 is None else x_1.double()
        return (
            2
            * model(
                in_unit_range(observation), physics(observation), x_init=start, seed=SEED + 1
            ).float()
            - 1
        )

    return peer


def deepinv_dps(prior: Prior, name: str, eta: float) -> Comparison:
    times, grid = deepinv_times(prior, DPS_STEPS)
    peer = deepinv_diffusion(
        prior, deepinv.sampling.DPSDataFidelity(weight=WEIGHT[name]), eta, times
    )
    return Comparison(
        DPS(WEIGHT[name] / 2),
        DDIM(DPS_STEPS, eta=eta, grid=grid),
        peer,
        {"steps": DPS_STEPS, "weight": WEIGHT[name], "eta": eta},
    )


def deepinv_pigdm(prior: Prior, name: str, eta: float) -> Comparison:
    times, grid = deepinv_times(prior, PIGDM_STEPS)
    peer = deepinv_diffusion(prior, deepinv.sampling.PiGDMDataFidelity(cg_max_iter=20), eta, times)
    return Comparison(
        PiGDM(scale=2.0),
        DDIM(PIGDM_STEPS, eta=eta, grid=grid),
        peer,
        {"steps": PIGDM_STEPS, "eta": eta},
    )


def deepinv_diffpir(prior: Prior, name: str, eta: float) -> Comparison:
    zeta = ZETA_DIFFPIR if eta else 0.0
    levels = DIFFPIR_STEPS + 1
    theirs = deepinv.sampling.DiffPIR(
        DeepinvDenoiser(prior),
        deepinv.optim.data_fidelity.L2(),
        sigma=0.025,
        max_iter=levels,
        zeta=zeta,
        lambda_=LAMBDA,
    )
    noise_levels = theirs.sigmas[theirs.seq[:-1].long()].double()
    grid = At(prior.schedule.time(-2 * noise_levels.log()))

    def peer(observation: Observation, x_1: Tensor | None) -> Tensor:
        start = None
        if x_1 is not None:  # their x_1 is (x_init + noise) alpha_1; the noise is drawn first
            alpha_1, first = (
                theirs.sqrt_alphas_cumprod[-1],
                float((noise_levels[0] ** 2 - 4 * theirs.sigma**2).sqrt()),
            )
            torch.manual_seed(SEED + 1)
            start = (x_1 / alpha_1 - first * torch.randn_like(x_1) + 1) / 2
        return (
            2
            * theirs(
                in_unit_range(observation), physics(observation), seed=SEED + 1, x_init=start
            ).float()
            - 1
        )

    sampler = DiffPIR(DIFFPIR_STEPS, weight=LAMBDA / 2, zeta=zeta, grid=grid)
    last = prior.schedule.time(-2 * theirs.sigmas[theirs.seq[-1:].long()].double().log())
    return Comparison(
        NoConditioning(),
        sampler,
        peer,
        {"steps": DIFFPIR_STEPS, "lambda": LAMBDA, "zeta": zeta},
        last,
    )


NOISY, CLEAN = ("box-0.05", "sr4-0.05"), ("box-0", "sr4-0")
COMPARISONS: dict[str, tuple[Callable[[Prior, str, float], Comparison], tuple[str, ...]]] = {
    "azula DPS": (azula_dps, NOISY),
    "deepinv DPS": (deepinv_dps, NOISY),
    "azula PGDM": (azula_pgdm, CLEAN),
    "deepinv PiGDM": (deepinv_pigdm, NOISY),
    "deepinv DiffPIR": (deepinv_diffpir, NOISY),
}


@torch.no_grad()
def from_start(
    prior: Prior, comparison: Comparison, observation: Observation, x_1: Tensor
) -> Tensor:
    """What our method makes of a given x_1, without noise; as the peer does it where it leaves
    the result noisy.
    """
    sampler, noise, leaves = comparison.sampler, Silent(), comparison.last
    prior = prior if leaves is None else Clipped(prior)
    grid = sampler.grid.times(prior.schedule, sampler.steps)
    steps = Steps(prior.schedule, grid, getattr(sampler, "eta", None))
    given = (
        (prior, observation)
        if sampler.conditions
        else (Posterior(prior, comparison.h_transform, observation).on(steps),)
    )
    state = State(x_1, grid[:1])
    for s in grid[1:] if leaves is None else torch.cat([grid[1:], leaves]):
        state = sampler.step(*given, state, s[None], noise)
    return sampler.finish(*given, state, noise) if leaves is None else state.x_t


def quality(samples: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """PSNR of single samples, averaged per image, and of their mean."""
    single = torch.stack(
        [psnr(samples[:, j], images, 2.0) for j in range(samples.shape[1])], 1
    ).mean(1)
    return single, psnr(samples.mean(1), images, 2.0)


def estimate(values: Tensor) -> dict[str, float]:
    return {
        "value": round(float(values.mean()), 4),
        "standard_error": round(float(values.std() / len(values) ** 0.5), 4),
    }


def compare(prior: Prior, label: str, name: str, images: Tensor, samples: int) -> dict[str, Any]:
    """One method on one problem."""
    make, _ = COMPARISONS[label]
    observation = PROBLEMS[name].draw(images, Noise([mix(SEED, 6, i) for i in range(len(images))]))
    comparison = make(prior, name, 1.0)

    start = time.process_time()
    ours = comparison.sampler.draw(
        prior, samples, observation=observation, h_transform=comparison.h_transform, seed=SEED
    ).x_0
    middle = time.process_time()
    torch.manual_seed(SEED + 1)
    theirs = comparison.peer(observation.repeat(samples), None).unflatten(0, (len(images), samples))
    end = time.process_time()

    row: dict[str, Any] = {"peer": label, "problem": name, "settings": comparison.settings}
    for measure, a, b in zip(
        ("psnr_sample", "psnr_mean"),
        quality(ours, images),
        quality(theirs.detach(), images),
        strict=True,
    ):
        row[measure] = {"ours": estimate(a), "theirs": estimate(b), "difference": estimate(a - b)}
    row["cpu_seconds"] = {"ours": round(middle - start, 2), "theirs": round(end - middle, 2)}
    few, eta = observation.take(range(4)), 1.0 if make is azula_dps else 0.0
    same, x_1 = make(prior, name, eta), prior.initial(Noise([mix(SEED, 7, i) for i in range(4)]))
    with patch("torch.randn_like", torch.zeros_like) if make is azula_dps else nullcontext():
        apart = (from_start(prior, same, few, x_1) - same.peer(few, x_1).detach()).abs()
    row["same_start_without_noise"] = {
        "largest": float(apart.max()),
        "root_mean_square": float(apart.square().mean().sqrt()),
    }
    return row


def main() -> None:
    """Run the comparisons, one after the other."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="the folder of digits that recipes/train_prior.py describes",
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/peers.json"))
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--samples", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--only", nargs="*", choices=list(COMPARISONS), help="some of the comparisons"
    )
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    images = as_float(READERS["digits"](args.data, "test")[: args.images])
    prior = zoo.load("digits-32")
    versions = {name: importlib.metadata.version(name) for name in ("torch", "deepinv", "azula")}
    result = {
        "prior": "digits-32",
        "images": f"the first {args.images} test digits",
        "samples": args.samples,
        "seed": SEED,
        "versions": versions,
    }
    rows = []
    for label in args.only or COMPARISONS:
        for name in COMPARISONS[label][1]:
            row = compare(prior, label, name, images, args.samples)
            rows.append(row)
            print(json.dumps(row), flush=True)
            args.out.parent.mkdir(parents=True, exist_ok=True)
            args.out.write_text(json.dumps(result | {"comparisons": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
