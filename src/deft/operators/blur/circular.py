"""Blur with a periodic border: diagonal in the Fourier basis, with a singular value decomposition
from the Hartley transform.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from deft.operators.base import SpectralOperator
from deft.operators.blur.convolution import Convolution
from deft.operators.blur.fourier import filtered, half_spectrum, hartley, spectrum_of
from deft.types import Measurement, Signal, Times, expand


@final
class CircularBlur(Convolution, SpectralOperator):
    """Convolution with a kernel per signal, the signal continued periodically.

    At s2 = 0 singular values below sqrt(eps) of the largest count as zero: rounding errors in y
    would be larger than what is left of it.
    """

    def forward(self, x_0: Signal) -> Measurement:
        return filtered(x_0, self._transfer(x_0))

    def adjoint(self, y: Measurement) -> Signal:
        return filtered(y, self._transfer(y).conj())

    def solve(self, v: Measurement, r2: Times, s2: Times) -> Measurement:
        transfer = self._transfer(v)
        power = transfer.real**2 + transfer.imag**2
        r2, s2 = expand(torch.as_tensor(r2), v), expand(torch.as_tensor(s2), v)
        null = (s2 == 0) & (
            power <= torch.finfo(power.dtype).eps * expand(power.flatten(1).amax(1), power)
        )
        return filtered(
            v,
            torch.where(
                null,
                torch.zeros_like(power),
                1 / torch.where(null, torch.ones_like(power), r2 * power + s2),
            ),
        )

    def singular_values(self, like: Tensor) -> Tensor:
        return spectrum_of(self._padded(like.shape[2:])).abs().to(like.dtype)

    def v_t(self, x_0: Signal) -> Tensor:
        return hartley(x_0)

    def v(self, coefficients: Tensor) -> Signal:
        return hartley(coefficients)

    def u_t(self, y: Measurement) -> Tensor:
        return hartley(filtered(y, self._phase(y).conj()))

    def u(self, coefficients: Tensor) -> Measurement:
        return filtered(hartley(coefficients), self._phase(coefficients))

    def _phase(self, like: Tensor) -> Tensor:
        transfer = self._transfer(like)
        size = transfer.abs()
        lost = size <= torch.finfo(size.dtype).eps * expand(
            size.flatten(1).amax(1), size
        )  # the phase of rounding errors says nothing
        return torch.where(
            lost,
            torch.ones_like(transfer),
            transfer / torch.where(lost, torch.ones_like(size), size),
        )

    def _transform(self, size: tuple[int, ...]) -> Tensor:
        return half_spectrum(self._padded(size), size)

    def _padded(self, size: Sequence[int]) -> Tensor:
        """The kernel, wrapped around the signal's size with its centre at place 0: (batch or 1, 1,
        *size).
        """
        kernel = self.kernel[:, None]
        for axis, n in enumerate(size):
            at = (
                torch.arange(kernel.shape[2 + axis], device=kernel.device)
                - kernel.shape[2 + axis] // 2
            ) % n
            shape = (*kernel.shape[: 2 + axis], n, *kernel.shape[3 + axis :])
            kernel = kernel.new_zeros(shape).index_add(2 + axis, at, kernel)
        return kernel
