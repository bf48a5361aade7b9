"""A measurement whose noise was made white: W A, of W y (`deft.operators.whitening`).

    linear A:      adjoint A^T W^T, the equations by conjugate gradients
    A = diag(s) V^T and W diagonal:    singular values W s, the same V
    otherwise:     J^T W^T residual / (r2 L^2 + s2), L the slope of W A (`ForwardOperator.pull`):
        what A itself makes of a residual is for noise that is the same everywhere
    a black box:    the difference that a residual makes to its lift (`deft.operators.base.reach`)

What a measurement sees, its coverage and its lift are those of A.
"""

from __future__ import annotations

from typing import final

from torch import Tensor

from deft.operators.around import Around
from deft.operators.base import (
    ForwardOperator,
    LinearOperator,
    SpectralOperator,
    pull_of_lifts,
)
from deft.operators.checked import Shape
from deft.operators.whitening import Whitening
from deft.types import Mask, Measurement, Signal, Times


class _Whitened(Around):
    """What all kinds share."""

    whitening: Whitening

    def __init__(self, operator: ForwardOperator, whitening: Whitening) -> None:
        super().__init__()
        self.operator, self.whitening = operator, whitening
        self.any_precision = operator.any_precision

    def signal_shape(self) -> Shape | None:
        return self.operator.signal_shape()

    @property
    def lift_is(self) -> str:
        return self.operator.lift_is

    @property
    def symmetries(self) -> str:  # type: ignore[override]
        """Those of the operator."""
        return self.operator.symmetries

    def align(self, x: Signal, reference: Signal) -> Signal:
        return self.operator.align(x, reference)

    def coverage(self, like: Signal) -> Mask:
        return self.operator.coverage(like)

    def forward(self, x_0: Signal) -> Measurement:
        return self.whitening(self.operator(x_0))

    def lift(self, y: Measurement) -> Signal:
        return self.operator.lift(self.measured(y))

    def measured(self, y: Measurement) -> Measurement:
        """y as it was measured, W^{-1} y."""
        return self.operator.observed(self.whitening.inverse(y))

    def difference(self, y: Measurement, predicted: Measurement) -> Measurement:
        if type(self.operator).difference is ForwardOperator.difference:
            return self.operator.observed(y - predicted)
        inner = self.operator.difference(self.measured(y), self.whitening.inverse(predicted))
        return self.operator.observed(self.whitening(inner))

    def readings(self, y: Measurement) -> dict[str, Measurement]:
        read = self.operator.readings(self.measured(y))
        return {name: self.whitening(other) for name, other in read.items()}

    def doubts(self, y: Measurement) -> list[str]:
        return self.operator.doubts(self.measured(y))


@final
class Whitened(_Whitened):
    """W A, of an operator that is not linear."""

    def surrogate(self, x_0: Signal) -> Measurement:
        return self.whitening(self.operator.surrogate(x_0))


@final
class WhitenedBlackBox(_Whitened):
    """W A, of an operator without derivatives."""

    def pull(self, x_0: Signal, residual: Measurement, r2: Times, s2: Times) -> Signal:
        return pull_of_lifts(self, x_0, residual, r2, s2)


@final
class WhitenedLinear(_Whitened, LinearOperator):
    """W A, of a linear operator."""

    operator: LinearOperator

    def linear(self, x_0: Signal) -> Measurement:
        return self.whitening(self.operator.linear(x_0))

    def adjoint(self, y: Measurement) -> Signal:
        return self.operator.adjoint(self.operator.observed(self.whitening.adjoint(y)))


@final
class WhitenedSpectral(_Whitened, SpectralOperator):
    """W A = diag(w s) V^T, of A = diag(s) V^T and W = diag(w)."""

    operator: SpectralOperator

    measures_coefficients = True

    def adjoint(self, y: Measurement) -> Signal:
        return self.operator.adjoint(self.whitening(y))

    def singular_values(self, like: Tensor) -> Tensor:
        scale = self.operator.singular_values(like)
        return self.whitening(scale.expand(len(like), *like.shape[1:]))

    def v_t(self, x_0: Signal) -> Tensor:
        return self.operator.v_t(x_0)

    def v(self, coefficients: Tensor) -> Signal:
        return self.operator.v(coefficients)

    def u_t(self, y: Measurement) -> Tensor:
        return y

    def u(self, coefficients: Tensor) -> Measurement:
        return coefficients
