"""The plan of `deft demo`: its problems, and how much of them fits into the time.

The speed of the machine is measured once. The plan is kept in a file, so that a run that goes on
does the same.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import final

import torch
from torch import Tensor

from deft.errors import CheckpointError
from deft.htransforms.learned import LearnedHTransform
from deft.noise import Noise
from deft.priors.base import Prior
from deft.problems import Inpainting, Problem, SuperResolution
from deft.storage import claims
from deft.storage.atomic import atomic
from deft.training.denoising import DenoisingScoreMatching
from deft.training.loop import train

SIGMA_Y = 0.05
PROBLEMS: dict[str, Problem] = {
    "inpainting": Inpainting(masks="freeform", sigma_y=SIGMA_Y),
    "super-resolution": SuperResolution(factor=4, sigma_y=SIGMA_Y),
}
SHARE = {"training": 0.38, "sampling": 0.47}  # of the time; the rest is start, timing and reports


@final
@dataclass(frozen=True)
class Plan:
    """What fits into the time; measured once and kept, so that a run that goes on does the same."""

    training_steps: int
    batch_size: int
    test_images: int
    deft_steps: int
    dps_steps: int
    ddnm_steps: int
    seconds: float


def planned(
    out: Path,
    prior: Prior,
    data: Tensor,
    fraction: float,
    samples: int,
    minutes: float,
    quick: bool,
) -> Plan:
    path = out / "plan.json"
    if path.exists():
        try:
            return Plan(**claims.read_json(path))
        except TypeError as error:
            raise CheckpointError(
                f"{path} is no plan of a demo that this version can go on with ({error}); delete "
                "it, or give another --out."
            ) from error
    plan = (
        Plan(4, 4, 2, 4, 4, 4, 10.0)
        if quick
        else _measured(prior, data, fraction, samples, 60 * minutes)
    )
    with atomic(path) as file:
        file.write(json.dumps(asdict(plan), indent=1).encode())
    return plan


def _measured(prior: Prior, data: Tensor, fraction: float, samples: int, seconds: float) -> Plan:
    """What fits: times one training step and one evaluation of the prior."""
    print("measuring how fast this machine is", flush=True)
    batch = 16
    throwaway = LearnedHTransform.for_prior(prior, fraction=fraction)
    objective = DenoisingScoreMatching(PROBLEMS["inpainting"])

    def training(steps: int) -> None:
        train(
            copy.deepcopy(throwaway),
            prior,
            objective,
            data[:64],
            steps=steps,
            batch_size=batch,
            progress=False,
        )

    step = max(
        (_seconds(lambda: training(6)) - _seconds(lambda: training(1))) / 5, 1e-3
    )  # what starting costs is not paid every step
    x_t, t = (
        Noise(range(batch)).normal(0, prior.event_shape).to(prior.device),
        torch.full((1,), 0.5, device=prior.device),
    )
    with torch.no_grad():
        evaluation = _seconds(lambda: prior.denoise(x_t, t)) / batch
    steps = max(20, int(SHARE["training"] * seconds / len(PROBLEMS) / step))
    dps, ddnm, deft = 100, 50, 20
    per_image = len(PROBLEMS) * samples * evaluation * (20 + 3.0 * dps + ddnm + 1.2 * deft)
    if 2 * per_image > SHARE["sampling"] * seconds:
        dps = ddnm = 30
        per_image = len(PROBLEMS) * samples * evaluation * (20 + 3.0 * dps + ddnm + 1.2 * deft)
    images = min(max(int(SHARE["sampling"] * seconds / per_image), 2), 8)
    total = len(PROBLEMS) * steps * step + images * per_image
    return Plan(steps, batch, images, deft, dps, ddnm, round(1.1 * total + 15, 1))


def _seconds(call: Callable[[], object]) -> float:
    """The shorter of two runs after a first one, so that a moment's other load does not count."""
    taken = []
    for _ in range(3):
        begin = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begin)
    return min(taken[1:])
