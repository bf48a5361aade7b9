"""The process of a network of diffusers: its schedule, what it predicts, what it is told of t.

entry      k, the entry of a table; sigma_t of a score network
c_noise    log(sigma_t / alpha_t) / 4                     EDM, and Euler's continuous time
angle      atan(sigma_t / alpha_t) 2 / pi                 the cosine schedule in continuous time
level      N sigma_t                                      flow matching, N entries
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import pi
from typing import final

import torch
from torch import Tensor

from deft.priors.predictions import Prediction
from deft.schedules import Schedule
from deft.types import Times

_TOLD: dict[str, Callable[[Schedule, Tensor], Tensor]] = {
    "entry": lambda schedule, t: schedule.told(t),
    "c_noise": lambda schedule, t: -schedule.log_snr(t) / 8,
    "angle": lambda schedule, t: torch.atan(torch.exp(-schedule.log_snr(t) / 2)) * 2 / pi,
    "level": lambda schedule, t: schedule.sigma(t),
}
TOLD = tuple(_TOLD)


@final
@dataclass(frozen=True)
class Process:
    """What a scheduler says: the `schedule`, the `prediction` (a name, or itself), and what the
    network is `told` (times `factor`). `in_units`: whether its values are in [0, 1].
    """

    schedule: Schedule
    prediction: str | Prediction
    told: str = "entry"
    factor: float = 1.0
    in_units: bool = False


def told(schedule: Schedule, how: str, factor: float, t: Times) -> Tensor:
    """What the network is told at t."""
    level = _TOLD[how](schedule, t)
    return level if factor == 1 else factor * level
