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
from deft.operators.base import ForwardOperator, LinearOperator, SpectralOperator
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
        self._hold(*torch.linalg.svd(a if a.ndim == 3 else a[None], full_matrices=False))

    def _hold(self, u: Tensor, s: Tensor, v_t: Tensor) -> None:
        self.per_signal("_u", u)
        self.per_signal("_s", s)
        self.per_signal("_v_t", v_t)

    @classmethod
    def of(cls, operator: ForwardOperator, event_shape: Sequence[int], smallest: float = 1e-3) -> Matrix:
        """The linear part of an operator that all signals share, as a matrix: m d numbers, and the decomposition of A A^T, of m^3 operations.

        It has the singular values above `smallest` times the largest; the rest of the signal counts as not seen. It takes measurements of the operator's own shape and gives flat ones. Raises
        `InvalidInput` for an operator that is not linear, or has parameters for each signal.
        """
        if not isinstance(operator, LinearOperator) or operator.signals != 1:
            raise InvalidInput(
                f"a matrix is made of a linear operator that all signals share; got {type(operator).__name__} for {operator.signals} signals. "
                "Take one signal's (operator.take([0]))."
            )
        with torch.no_grad():
            d = math.prod(event_shape)
            tensor = next((t for t in operator.buffers() if t.is_floating_point()), torch.empty(0))
            rows = [
                operator.linear(part.reshape(-1, *event_shape)).flatten(1)
                for part in torch.eye(d, dtype=tensor.dtype, device=tensor.device).split(256)
            ]
            a = torch.cat(rows).mT  # (m, d)
            wide = a.shape[0] <= d
            values, vectors = torch.linalg.eigh(a @ a.mT if wide else a.mT @ a)
            keep = values > smallest**2 * values[-1]
            s, vectors = values[keep].sqrt().flip(0), vectors[:, keep].flip(1)
            other = ((a.mT if wide else a) @ vectors) / s
            u, v = (vectors, other) if wide else (other, vectors)
            return cls.decomposed(u[None], s[None], v.mT[None], event_shape)

    @classmethod
    def decomposed(cls, u: Tensor, s: Tensor, v_t: Tensor, event_shape: Sequence[int]) -> Matrix:
        """U diag(s) V^T from its parts, (n, m, k), (n, k) and (n, k, d) with n = 1 for all signals; the columns of U and the rows of V^T must be orthonormal."""
        matrix = cls.__new__(cls)
        LinearOperator.__init__(matrix)
        matrix.event_shape = tuple(event_shape)
        matrix._hold(u, s, v_t)
        return matrix

    @property
    def parts(self) -> tuple[Tensor, Tensor, Tensor]:
        """U, s and V^T, as `decomposed` takes them."""
        return self._u, self._s, self._v_t

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
        return _times(self._u.mT, y.flatten(1))

    def u(self, coefficients: Tensor) -> Measurement:
        return _times(self._u, coefficients)


def _times(a: Tensor, x: Tensor) -> Tensor:
    """A x for each row of x; one product where one matrix serves all."""
    return x @ a[0].mT if len(a) == 1 else (a @ x[..., None])[..., 0]
