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
from deft.operators.checked import Shape
from deft.operators.parameters import event_shape_of, real_tensor
from deft.types import Measurement, Signal, Times, expand


@final
class Matrix(SpectralOperator):
    """A matrix over the flattened signal: (m, d) for all signals, or (n, m, d), one each.

    `event_shape` is the signal's where it is not flat. The measurement has shape (batch, m).
    """

    event_shape: tuple[int, ...]
    _u: Tensor
    _s: Tensor
    _v_t: Tensor

    def __init__(self, a: Tensor, event_shape: Sequence[int] | None = None) -> None:
        super().__init__()
        expected = "a matrix (m, d), or (n, m, d) for n signals, in single or double precision"
        a = real_tensor("a", a, expected)
        if a.ndim not in (2, 3) or 0 in a.shape[-2:]:
            raise InvalidInput("a", given=f"the shape {tuple(a.shape)}", expected=expected)
        if a.dtype not in (torch.float32, torch.float64):
            raise InvalidInput(
                "a",
                given=str(a.dtype),
                expected=expected,
                advice="use a.float(); the decomposition needs it",
            )
        self.event_shape = (
            tuple(a.shape[-1:]) if event_shape is None else event_shape_of(event_shape)
        )
        if math.prod(self.event_shape) != a.shape[-1]:
            raise InvalidInput(
                "event_shape",
                given=self.event_shape,
                expected=f"a shape of {a.shape[-1]} entries, as many as the matrix has columns",
            )
        self._hold(*torch.linalg.svd(a if a.ndim == 3 else a[None], full_matrices=False))

    def _hold(self, u: Tensor, s: Tensor, v_t: Tensor) -> None:
        self.per_signal("_u", u)
        self.per_signal("_s", s)
        self.per_signal("_v_t", v_t)

    @classmethod
    def of(
        cls, operator: ForwardOperator, event_shape: Sequence[int], smallest: float = 1e-3
    ) -> Matrix:
        """The linear part of an operator that all signals share, as a matrix: m d numbers, and the
        decomposition of A A^T, of m^3 operations.

        It has the singular values above `smallest` times the largest; the rest of the signal counts
        as not seen. It takes measurements of the operator's own shape and gives flat ones. Raises
        `InvalidInput` for an operator that is not linear, or has parameters for each signal.
        """
        if not isinstance(operator, LinearOperator) or operator.signals != 1:
            raise InvalidInput(
                "a matrix is made of a linear operator that all signals share; got "
                f"{type(operator).__name__} for {operator.signals} signals. "
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
        """U diag(s) V^T from its parts, (n, m, k), (n, k) and (n, k, d) with n = 1 for all signals;
        the columns of U and the rows of V^T must be orthonormal.
        """
        matrix = cls.__new__(cls)
        LinearOperator.__init__(matrix)
        matrix.event_shape = event_shape_of(event_shape)
        u, s, v_t = (
            real_tensor(name, part, "a part of U diag(s) V^T")
            for name, part in (("u", u), ("s", s), ("v_t", v_t))
        )
        fits = (
            u.ndim == v_t.ndim == 3
            and s.ndim == 2
            and u.shape[2] == s.shape[1] == v_t.shape[1]
            and len(u) == len(s) == len(v_t)
        )
        if not fits or v_t.shape[2] != math.prod(matrix.event_shape):
            raise InvalidInput(
                "u, s and v_t",
                given=f"the shapes {tuple(u.shape)}, {tuple(s.shape)} and {tuple(v_t.shape)}",
                expected="(n, m, k), (n, k) and (n, k, d), with d = "
                f"{math.prod(matrix.event_shape)} entries of the signal",
            )
        matrix._hold(u, s, v_t)
        return matrix

    @property
    def parts(self) -> tuple[Tensor, Tensor, Tensor]:
        """U, s and V^T, as `decomposed` takes them."""
        return self._u, self._s, self._v_t

    def measurement_shape(self) -> Shape | None:
        """Any: a matrix `of` an operator takes measurements of that operator's own shape. `u_t`
        counts their entries.
        """
        return None

    def solve(self, v: Measurement, r2: Times, s2: Times) -> Measurement:
        """(r2 A A^T + s2 I)^{-1} v, also outside the range of A, where it is v / s2; at s2 = 0 that
        part is left out.
        """
        flat = v.flatten(1)
        outside = flat - self.u(self.u_t(flat))
        s2_of = expand(torch.as_tensor(s2), flat).to(flat)
        missed = torch.where(s2_of > 0, outside / torch.where(s2_of > 0, s2_of, 1.0), 0.0)
        return (super().solve(flat, r2, s2) + missed).reshape(v.shape)

    def pull(self, x_0: Signal, residual: Measurement, r2: Times, s2: Times) -> Signal:
        """V diag(s / (r2 s^2 + s2)) U^T residual.

        What lies outside the range of A is left out before it is divided by s2: A^T takes it to
        zero, but of its rounding errors over a small s2 it leaves everything.
        """
        return self.adjoint(super().solve(residual.flatten(1), r2, s2))

    def singular_values(self, like: Tensor) -> Tensor:
        return self._s

    def v_t(self, x_0: Signal) -> Tensor:
        return _times(self._v_t, x_0.flatten(1))

    def v(self, coefficients: Tensor) -> Signal:
        return _times(self._v_t.mT, coefficients).reshape(len(coefficients), *self.event_shape)

    def u_t(self, y: Measurement) -> Tensor:
        if y[:1].numel() != self._u.shape[1] * len(y[:1]):
            raise InvalidInput(
                "y of Matrix",
                given=f"the shape {tuple(y.shape)}",
                expected=f"(batch, {self._u.shape[1]}), one entry for each row",
            )
        return _times(self._u.mT, y.flatten(1))

    def u(self, coefficients: Tensor) -> Measurement:
        return _times(self._u, coefficients)


def _times(a: Tensor, x: Tensor) -> Tensor:
    """A x for each row of x; one product where one matrix serves all."""
    return x @ a[0].mT if len(a) == 1 else (a @ x[..., None])[..., 0]
