"""Linear operators: the adjoint, and the normal equations of a Gaussian posterior.

    solve(v, r2, s2) = (r2 A A^T + s2 I)^{-1} v

by conjugate gradients, where a class knows nothing better.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from deft.codec import Codec
from deft.operators.base.forward import ForwardOperator
from deft.operators.base.reach import mean_weight
from deft.operators.solvers import conjugate_gradients
from deft.types import Measurement, Signal, Times, expand

if TYPE_CHECKING:
    from deft.operators.whitening import Whitening


class LinearOperator(ForwardOperator):
    """A(x_0) = A x_0."""

    @abstractmethod
    def adjoint(self, y: Measurement) -> Signal:
        """A^T y."""

    def solve(self, v: Measurement, r2: Times, s2: Times) -> Measurement:
        """(r2 A A^T + s2 I)^{-1} v, by conjugate gradients; r2 and s2 hold one number per signal or
        one for all.
        """
        r2, s2 = expand(torch.as_tensor(r2), v), expand(torch.as_tensor(s2), v)
        return conjugate_gradients(lambda u: r2 * self.linear(self.adjoint(u)) + s2 * u, v)

    def linear(self, x_0: Signal) -> Measurement:
        """The linear part of `forward`; they differ for an affine operator (`InUnits`) only."""
        return self(x_0)

    def pull(self, x_0: Signal, residual: Measurement, r2: Times, s2: Times) -> Signal:
        """A^T (r2 A A^T + s2 I)^{-1} residual.

        Where a class has no `solve` of its own, (r2 A^T A + s2 I)^{-1} A^T residual, the same by
        conjugate gradients on equations that are consistent whatever the residual is, at s2 = 0
        too.
        """
        if type(self).solve is not LinearOperator.solve:
            return self.adjoint(self.solve(residual, r2, s2))
        return self._normal_solved(self.adjoint(residual), r2, s2)

    def _normal_solved(self, b: Signal, r2: Times, s2: Times) -> Signal:
        """(r2 A^T A + s2 I)^{-1} b, by conjugate gradients; consistent for every b = A^T v."""
        r2, s2 = expand(torch.as_tensor(r2), b).to(b), expand(torch.as_tensor(s2), b).to(b)
        return conjugate_gradients(lambda u: r2 * self.adjoint(self.linear(u)) + s2 * u, b)

    def behind(self, codec: Codec) -> ForwardOperator:
        from deft.operators.composed import ComposedLinear

        return ComposedLinear(self, codec) if codec.is_linear else super().behind(codec)  # type: ignore[arg-type]

    def whitened(self, whitening: Whitening) -> ForwardOperator:
        from deft.operators.whitened import WhitenedLinear

        return WhitenedLinear(self, whitening)

    def transposed_derivative(self, x_0: Signal, v: Measurement) -> Signal | None:
        """A^T v."""
        return self.adjoint(v)

    def weighted_pull(
        self, x_0: Signal, residual: Measurement, weight: Measurement, r2: Times
    ) -> Signal:
        """(r2 A^T W A + I)^{-1} A^T W residual, with W = diag(weight), by conjugate gradients."""
        typical = expand(mean_weight(weight, self.count(weight)), x_0)
        r2, one = expand(r2, x_0), torch.ones_like(expand(r2, x_0))
        return conjugate_gradients(
            lambda u: r2 * self.adjoint(weight * self.linear(u)) + u,
            self.adjoint(weight * residual),
            tolerance=math.sqrt(torch.finfo(weight.dtype).eps),
            precondition=lambda u: self.precondition(u, r2 * typical, one),
        )

    def precondition(self, b: Signal, r2: Tensor, s2: Tensor) -> Signal:
        """About (r2 A^T A + s2 I)^{-1} b up to a factor: cheap, symmetric and positive; b itself by
        default. r2 and s2 broadcast against b.
        """
        return b

    def pseudo_inverse(self, y: Measurement) -> Signal:
        """A^+ y; in the same two ways as `pull`."""
        one = torch.ones(1, dtype=y.dtype, device=y.device)
        if type(self).solve is not LinearOperator.solve:
            return self.adjoint(self.solve(y, one, 0 * one))
        return self._normal_solved(self.adjoint(y), one, 0 * one)

    def lift(self, y: Measurement) -> Signal:
        return self.pseudo_inverse(y)

    @property
    def lift_is(self) -> str:
        own = type(self).lift is not LinearOperator.lift
        return super().lift_is if own else "its pseudo-inverse"
