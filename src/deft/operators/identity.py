"""Denoising: the signal itself is measured.

A = I,    y = x_0 + sigma_y eps
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from deft.operators.base import SpectralOperator
from deft.types import Measurement, Signal, Times, expand


@final
class Identity(SpectralOperator):
    """A = I."""

    measures_coefficients = True
    _lift_is = "itself"

    def forward(self, x_0: Signal) -> Measurement:
        return x_0

    def adjoint(self, y: Measurement) -> Signal:
        return y

    def solve(self, v: Measurement, r2: Times, s2: Times) -> Measurement:
        """v / (r2 + s2)."""
        return v / expand(torch.as_tensor(r2 + s2), v)

    def lift(self, y: Measurement) -> Signal:
        return y

    def singular_values(self, like: Tensor) -> Tensor:
        return torch.ones_like(like[:1]) if len(like) else like.new_ones((1,) * like.ndim)

    def v_t(self, x_0: Signal) -> Tensor:
        return x_0

    def v(self, coefficients: Tensor) -> Signal:
        return coefficients

    def u_t(self, y: Measurement) -> Tensor:
        return y

    def u(self, coefficients: Tensor) -> Measurement:
        return coefficients
