"""How far a residual leads, and how much of it is measured.

|r2 pull| <= 3 r sqrt(d)
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from deft.types import Measurement, Signal, expand, norm


def within_reach(pull: Signal, r2: Tensor) -> Signal:
    """`pull`, shortened where r2 times it is longer than 3 r per entry (root mean square): beyond,
    a slope says nothing. r2 broadcasts against it.
    """
    farthest = 3 * math.sqrt(pull[0].numel()) * r2.sqrt()
    return pull * (
        farthest / (r2 * expand(norm(pull), pull)).clamp(min=torch.finfo(pull.dtype).tiny)
    ).clamp(max=1)


def mean_weight(weight: Measurement, count: Tensor) -> Tensor:
    """The mean of what is not zero where nothing is measured: one number per signal."""
    return weight.flatten(1).sum(1) / count.clamp(min=1) if len(weight) else weight.new_ones(1)
