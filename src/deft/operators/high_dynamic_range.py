"""High dynamic range: a photograph exposed for too long, its highlights and shadows lost.

    A(x_0) = clip(factor x_0, low, high)

Where A is saturated its derivative is zero, and nothing that follows it can learn that an estimate
is too dark or too bright. What guides instead is the unsaturated map, J = factor: the residual
still says on which side of the clip the measurement lies, and vanishes where both are clipped
alike.
"""

from __future__ import annotations

from typing import final

import torch

from deft import checks
from deft.operators.base import ForwardOperator
from deft.types import Measurement, Signal, Times, expand


@final
class HighDynamicRange(ForwardOperator):
    """A(x_0) = clip(factor x_0, low, high), entry by entry; `clip` is (low, high), in the units of
    the prior.

    Mardani et al. 2023, arXiv:2305.04391, section 5: factor 2, clipped to [-1, 1].
    """

    _lift_is = "itself, over the factor of its exposure"

    def __init__(self, factor: float = 2.0, clip: tuple[float, float] = (-1.0, 1.0)) -> None:
        super().__init__()
        self.factor = checks.positive("factor", factor, "how much too long the exposure is")
        self.clip = checks.finite_range("clip", clip, "the range of the camera")

    def forward(self, x_0: Signal) -> Measurement:
        return (self.factor * x_0).clamp(*self.clip)

    def surrogate(self, x_0: Signal) -> Measurement:
        """factor x_0, which no saturation flattens."""
        return self.factor * x_0

    def pull(self, x_0: Signal, residual: Measurement, r2: Times, s2: Times) -> Signal:
        """factor residual / (r2 factor^2 + s2): the pull of the surrogate, in closed form; exact
        where nothing is clipped.
        """
        return self.factor * residual / expand(r2 * self.factor**2 + s2, residual)

    def weighted_pull(
        self, x_0: Signal, residual: Measurement, weight: Measurement, r2: Times
    ) -> Signal:
        """factor weight residual / (r2 weight factor^2 + 1): the same, by entries."""
        r2 = expand(torch.as_tensor(r2), residual).to(residual)
        return self.factor * weight * residual / (r2 * weight * self.factor**2 + 1)

    def lift(self, y: Measurement) -> Signal:
        """y / factor: of what a clipped value may have been, the least extreme."""
        return y / self.factor
