"""Inpainting: the signal is seen where its mask is 1.

    A = diag(mask),    y = mask * (x_0 + sigma_y eps)

y keeps the signal's shape, with zeros that are no measurements where the mask is 0; `observed` and
`count` leave them out.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from deft.operators.base import SpectralOperator
from deft.operators.checked import Shape
from deft.operators.parameters import mask_of
from deft.types import Mask, Measurement, Signal, Times, expand


@final
class Inpainting(SpectralOperator):
    """A = diag(mask), with U = V = I and s = mask.

    `mask` has one channel, (batch or 1, 1, *space): 1 = observed, 0 = missing.
    """

    mask: Tensor
    signal_is = "of the mask's size"
    measurement_is = "of the mask's size, with zeros where nothing is measured"
    measures_coefficients = True
    _lift_is = "itself, zero where nothing is measured"

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.per_signal("mask", mask_of(mask, "*space", "the signal is observed"))

    def signal_shape(self) -> Shape:
        return (None, *self.mask.shape[2:])

    def measurement_shape(self) -> Shape:
        return (None, *self.mask.shape[2:])

    def forward(self, x_0: Signal) -> Measurement:
        return self.mask * x_0

    def adjoint(self, y: Measurement) -> Signal:
        return self.mask * y

    def solve(self, v: Measurement, r2: Times, s2: Times) -> Measurement:
        """v / (r2 mask + s2), and 0 where that divides by 0."""
        variance = expand(torch.as_tensor(r2), v) * self.mask + expand(torch.as_tensor(s2), v)
        return (
            torch.where(
                variance > 0,
                1 / torch.where(variance > 0, variance, torch.ones_like(variance)),
                torch.zeros_like(variance),
            )
            * v
        )

    def lift(self, y: Measurement) -> Signal:
        """mask * y."""
        return self.mask * y

    def coverage(self, like: Signal) -> Mask:
        """The mask."""
        return self.mask.to(like.dtype).expand(len(like), *self.mask.shape[1:])

    def observed(self, y: Measurement) -> Measurement:
        return self.mask * y

    def count(self, y: Measurement) -> Tensor:
        return (self.mask.flatten(1).sum(1) * y.shape[1]).to(y.dtype).expand(len(y))

    def singular_values(self, like: Tensor) -> Tensor:
        return self.mask.to(like.dtype)

    def v_t(self, x_0: Signal) -> Tensor:
        return x_0

    def v(self, coefficients: Tensor) -> Signal:
        return coefficients

    def u_t(self, y: Measurement) -> Tensor:
        return y

    def u(self, coefficients: Tensor) -> Measurement:
        return coefficients
