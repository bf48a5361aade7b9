"""A prior, an h-transform and images that train in a blink, and a run in a process of its own
that can be killed.
"""

import os
import time
from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from deft.htransforms.base import HTransform
from deft.htransforms.learned import LearnedHTransform
from deft.operators.base import LinearOperator
from deft.priors.base import Prior
from deft.priors.unet import UNetPrior
from deft.problems import Fixed
from deft.schedules import VPLinear
from deft.training.denoising import DenoisingScoreMatching
from deft.training.loop import train
from deft.types import Measurement, Signal

SHAPE = (1, 8, 8)


class LeftHalf(LinearOperator):
    """The left half of an image."""

    def forward(self, x_0: Signal) -> Measurement:
        return x_0[..., : x_0.shape[-1] // 2]

    def adjoint(self, y: Measurement) -> Signal:
        return torch.nn.functional.pad(y, (0, y.shape[-1]))


def images(n: int = 24, seed: int = 0) -> Tensor:
    """Ramps of random slope and offset, in [-1, 1]."""
    u = torch.rand(n, 3, 1, 1, 1, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    ramp = torch.linspace(-1, 1, 8)
    return (u[:, 0] * ramp + u[:, 1] * ramp[:, None] + u[:, 2]) / 3


@cache
def prior(seed: int = 0) -> Prior:
    torch.manual_seed(seed)
    made = UNetPrior(
        SHAPE, VPLinear(), channels=(4, 4), blocks=1, attention=(False, False), name=f"ramps-{seed}"
    )
    made.gaussian.fit(images(200, seed))
    return made.frozen()


def h_transform(seed: int = 0) -> LearnedHTransform:
    scale = prior().scale
    torch.manual_seed(seed)
    return LearnedHTransform(SHAPE, scale, channels=(4, 4), attention=(False, False))


def objective() -> DenoisingScoreMatching:
    return DenoisingScoreMatching(Fixed(LeftHalf(), sigma_y=0.1))


def run(h: HTransform, *, out: Path | None = None, **settings) -> object:
    """A short run with everything that has a state: validation, early stopping, accumulation."""
    settings = {
        "steps": 16,
        "batch_size": 4,
        "accumulate": 2,
        "validation": images(8, 1),
        "validation_draws": 8,
        "validate_every": 4,
        "save_every": 3,
        "log_every": 4,
        "patience": 50,
        "out": out,
        "progress": False,
        **settings,
    }
    return train(h, prior(), objective(), settings.pop("images", images()), **settings)


class Slow(Dataset):
    """The same images, from a slow disk: time enough to be killed."""

    def __len__(self) -> int:
        return len(images())

    def __getitem__(self, i: int) -> Tensor:
        time.sleep(2e-3)
        return images()[i]


def run_in_folder(out: str) -> None:
    """The target of a process: the run, with its final weights written at the end."""
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    h = h_transform()
    run(h, out=Path(out), images=Slow())
    torch.save(h.state_dict(), Path(out) / "final.pt")


def nothing() -> None:
    """The target of a process that only starts the server of processes."""


def step_reached(out: Path) -> int:
    """The step of the last whole line of a run's log, 0 before there is any; -1 before the first
    state.
    """
    if not (out / "state.safetensors").exists():
        return -1
    lines = (
        (out / "metrics.jsonl").read_text().splitlines() if (out / "metrics.jsonl").exists() else []
    )
    steps = [int(line.split(":")[1].split(",")[0]) for line in lines if line.endswith("}")]
    return max(steps, default=0)


def differing(a: dict[str, Tensor], b: dict[str, Tensor]) -> list[str]:
    """The names of tensors that are not the same bits."""
    return [
        name
        for name in {**a, **b}
        if name not in a or name not in b or not torch.equal(a[name], b[name])
    ]
