"""Any linear measurement that fits in memory, as a matrix.

y = A x_0 + sigma_y eps,    A = U diag(s) V^T, decomposed once
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.operators.base import SpectralOperator
from deft.types import Measurement, Signal, Times, expand


@final
class Matrix(SpectralOperator):
    """A matrix over the flattened signal: (m, d) for all signals, or (n, m, d), one each.

    `event_shape` is the signal's where it is not flat. The measurement has shape (batch, m).
    """

    _u: Tensor
    _s: Tensor
    _v_t: Tensor

    def __init__(self, a: Tensor, event_shape: Sequence[int] | None = None) -> None:
        super().__init__()
        if a.ndim not in (2, 3):
            raise InvalidInput(f"a matrix has shape (m, d), or (n, m, d) for n signals; got {tuple(a.shape)}.")
        self.event_shape = tuple(event_shape or a.shape[-1:])
        if math.prod(self.event_shape) != a.shape[-1]:
            raise InvalidInput(
                f"signals of shape {self.event_shape} have {math.prod(self.event_shape)} entries and the matrix {a.shape[-1]} columns."
            )
        u, s, v_t = torch.linalg.svd(a if a.ndim == 3 else a[None], full_matrices=False)
        self.per_signal("_u", u)
        self.per_signal("_s", s)
        self.per_signal("_v_t", v_t)

    def forward(self, x_0: Signal) -> Measurement:
        if tuple(x_0.shape[1:]) != self.event_shape:
            raise InvalidInput(f"this matrix was made for signals of shape {self.event_shape}; got {tuple(x_0.shape[1:])}.")
        return super().forward(x_0)

    def solve(self, v: Measurement, r2: Times, s2: Times) -> Measurement:
        """(r2 A A^T + s2 I)^{-1} v, also outside the range of A, where it is v / s2; at s2 = 0 that part is left out."""
        outside = v - self.u(self.u_t(v))
        s2_of = expand(torch.as_tensor(s2), v).to(v)
        return super().solve(v, r2, s2) + torch.where(s2_of > 0, outside / torch.where(s2_of > 0, s2_of, 1.0), 0.0)

    def singular_values(self, like: Tensor) -> Tensor:
        return self._s

    def v_t(self, x_0: Signal) -> Tensor:
        return _times(self._v_t, x_0.flatten(1))

    def v(self, coefficients: Tensor) -> Signal:
        return _times(self._v_t.mT, coefficients).reshape(len(coefficients), *self.event_shape)

    def u_t(self, y: Measurement) -> Tensor:
        return _times(self._u.mT, y)

    def u(self, coefficients: Tensor) -> Measurement:
        return _times(self._u, coefficients)


def _times(a: Tensor, x: Tensor) -> Tensor:
    """A x for each row of x; one product where one matrix serves all."""
    return x @ a[0].mT if len(a) == 1 else (a @ x[..., None])[..., 0]
