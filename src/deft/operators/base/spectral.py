"""Linear operators with a known singular value decomposition, A = U diag(s) V^T.

solve(v, r2, s2) = U diag(1 / (r2 s^2 + s2)) U^T v
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from deft.operators.base.linear import LinearOperator
from deft.types import Measurement, Signal, Times, expand

if TYPE_CHECKING:
    from deft.operators.base.forward import ForwardOperator
    from deft.operators.whitening import Whitening


class SpectralOperator(LinearOperator):
    """A = U diag(s) V^T, with orthonormal columns in U and V (the thin decomposition: coefficients
    may be fewer than entries). `measures_coefficients` says that U = I.
    """

    measures_coefficients: bool = False

    @abstractmethod
    def singular_values(self, like: Tensor) -> Tensor:
        """s, shaped to broadcast against coefficients `like`."""

    @abstractmethod
    def v_t(self, x_0: Signal) -> Tensor:
        """V^T x_0."""

    @abstractmethod
    def v(self, coefficients: Tensor) -> Signal:
        """V c."""

    @abstractmethod
    def u_t(self, y: Measurement) -> Tensor:
        """U^T y."""

    @abstractmethod
    def u(self, coefficients: Tensor) -> Measurement:
        """U c."""

    def whitened(self, whitening: Whitening) -> ForwardOperator:
        if not (self.measures_coefficients and whitening.diagonal):
            return super().whitened(whitening)
        from deft.operators.whitened import WhitenedSpectral

        return WhitenedSpectral(self, whitening)

    def forward(self, x_0: Signal) -> Measurement:
        c = self.v_t(x_0)
        return self.u(self.singular_values(c) * c)

    def adjoint(self, y: Measurement) -> Signal:
        c = self.u_t(y)
        return self.v(self.singular_values(c) * c)

    def solve(self, v: Measurement, r2: Times, s2: Times) -> Measurement:
        """(r2 A A^T + s2 I)^{-1} v within the range of U; at s2 = 0 singular values below 1e-6 of
        the signal's largest count as zero.
        """
        c = self.u_t(v)
        s = self.singular_values(c)
        r2, s2 = expand(torch.as_tensor(r2), v).to(s), expand(torch.as_tensor(s2), v).to(s)
        null = (s2 == 0) & (s <= 1e-6 * expand(s.flatten(1).amax(1), s))
        return self.u(
            torch.where(
                null, torch.zeros_like(s), 1 / torch.where(null, torch.ones_like(s), r2 * s**2 + s2)
            )
            * c
        )
