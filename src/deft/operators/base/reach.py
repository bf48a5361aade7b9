"""How far a residual leads, and how much of it is measured.

    |r2 pull| <= 3 r sqrt(d)

Without derivatives a reconstruction from measurements stands in: where `lift` says which signal a
measurement looks like, the pull is the difference that the residual makes to it,

    pull = d / (r2 + s2 k^2),    d = lift(A(x_0) + residual) - lift(A(x_0)),    k = |d| / |residual|

k^2 s2 being what the noise of y contributes to d; no further than `within_reach`. For A = c times a
rotation and its inverse this is A^T (r2 A A^T + s2 I)^{-1} residual.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from deft.types import Measurement, Signal, Times, expand, norm

if TYPE_CHECKING:
    from deft.operators.base.forward import ForwardOperator


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


@torch.no_grad()
def pull_of_lifts(
    operator: ForwardOperator, x_0: Signal, residual: Measurement, r2: Times, s2: Times
) -> Signal:
    """The pull without derivatives, d / (r2 + s2 k^2); `within_reach`."""
    if not len(x_0):
        return torch.zeros_like(x_0)
    r2, s2 = expand(torch.as_tensor(r2), x_0).to(x_0), expand(torch.as_tensor(s2), x_0).to(x_0)
    seen = operator(x_0)
    difference = operator.lift(seen + residual) - operator.lift(seen)
    k = norm(difference) / norm(residual).clamp(min=torch.finfo(residual.dtype).tiny)
    return within_reach(difference / (r2 + s2 * expand(k, x_0) ** 2), r2)
