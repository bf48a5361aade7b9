"""Blur with a mirrored border: nearly diagonal in the cosine basis, which preconditions the
conjugate gradients.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import final

import torch
from torch import Tensor

from deft.operators.blur.convolution import LIFT_NOISE_2, Convolution
from deft.operators.blur.fourier import filtered, half_spectrum
from deft.operators.solvers import conjugate_gradients
from deft.types import Measurement, Signal, Times, expand


@final
class ReflectBlur(Convolution):
    """Convolution with a kernel per signal, the signal mirrored at its borders, which it repeats (c
    b a | a b c).
    """

    def forward(self, x_0: Signal) -> Measurement:
        transfer = self._transfer(x_0)
        for axis, at in enumerate(self._mirror(x_0)):
            x_0 = x_0.index_select(2 + axis, at)
        blurred = filtered(x_0, transfer)
        for axis, k in enumerate(self.kernel.shape[1:]):
            blurred = blurred.narrow(2 + axis, k - 1, blurred.shape[2 + axis] - k + 1)
        return blurred

    def adjoint(self, y: Measurement) -> Signal:
        transfer, mirror = self._transfer(y), self._mirror(y)
        extension = [p for k in reversed(self.kernel.shape[1:]) for p in (k - 1, 0)]
        x = filtered(torch.nn.functional.pad(y, extension), transfer.conj())
        for axis, at in enumerate(mirror):
            shape = (*x.shape[: 2 + axis], y.shape[2 + axis], *x.shape[3 + axis :])
            x = x.new_zeros(shape).index_add(2 + axis, at, x)
        return x

    def _transform(self, size: tuple[int, ...]) -> Tensor:
        longer = [n + k - 1 for n, k in zip(size, self.kernel.shape[1:], strict=True)]
        return half_spectrum(self.kernel[:, None], longer)

    def solve(self, v: Measurement, r2: Times, s2: Times) -> Measurement:
        """(r2 A A^T + s2 I)^{-1} v by conjugate gradients, preconditioned in the cosine basis: one
        iteration for a kernel symmetric in each axis.

        Stops at a relative residual of sqrt(eps), 3e-4 in single precision.
        """
        r2, s2 = expand(torch.as_tensor(r2), v), expand(torch.as_tensor(s2), v)
        tolerance = math.sqrt(torch.finfo(v.dtype).eps)
        precondition = self._approximate_inverse(v, r2, s2)
        return conjugate_gradients(
            lambda u: r2 * self(self.adjoint(u)) + s2 * u,
            v,
            tolerance=tolerance,
            precondition=precondition,
        )

    def lift(self, y: Measurement) -> Signal:
        """The regularised inverse, with (A A^T + 0.01 I)^{-1} in the cosine basis: exact for a
        kernel symmetric in each axis, and always cheap.
        """
        one = y.new_ones((1,) * y.ndim)
        return self.adjoint(self._approximate_inverse(y, one, LIFT_NOISE_2 * one)(y))

    def _approximate_inverse(
        self, v: Measurement, r2: Tensor, s2: Tensor
    ) -> Callable[[Tensor], Tensor]:
        """(r2 A A^T + s2 I)^{-1} as if A were diagonal in the cosine basis."""
        bases = [_cosines(n, v) for n in v.shape[2:]]
        power = self._power(v.shape[2:])
        floor = 1e-4 * r2 * expand(power.flatten(1).amax(1), power)
        weight = 1 / torch.maximum(
            r2 * power + s2, torch.where(s2 > 0, torch.zeros_like(floor), floor)
        )
        return lambda residual: _along_axes(
            [basis.mT for basis in bases], weight * _along_axes(bases, residual)
        )

    def _power(self, size: Sequence[int]) -> Tensor:
        """|k_hat|^2 at the cosine basis' frequencies pi p / n,
        averaged over the signs of the frequencies.
        """
        waves = []
        for n, k in zip(size, self.kernel.shape[1:], strict=True):
            phase = torch.outer(torch.arange(n), torch.arange(k)).to(self.kernel) * (-math.pi / n)
            waves.append(torch.polar(torch.ones_like(phase), phase))
        kernel = self.kernel[:, None].to(waves[0].dtype)
        return 0.5 * (
            _along_axes(waves, kernel).abs() ** 2
            + _along_axes([*waves[:-1], waves[-1].conj()], kernel).abs() ** 2
        )

    def _mirror(self, x: Tensor) -> list[Tensor]:
        """For each axis, the place of the signal that stands at each place of its extension."""
        mirrors = []
        for n, k in zip(x.shape[2:], self.kernel.shape[1:], strict=True):
            at = torch.arange(k // 2 + 1 - k, n + k // 2, device=x.device) % (2 * n)
            mirrors.append(torch.minimum(at, 2 * n - 1 - at))
        return mirrors


def _along_axes(matrices: Sequence[Tensor], x: Tensor) -> Tensor:
    """Apply a matrix along each spatial axis."""
    for axis, matrix in enumerate(matrices):
        x = torch.movedim(torch.movedim(x, 2 + axis, -1) @ matrix.mT, -1, 2 + axis)
    return x


def _cosines(n: int, like: Tensor) -> Tensor:
    """The orthonormal cosine transform (DCT-II): (frequencies, places)."""
    at = torch.arange(n, dtype=like.dtype, device=like.device)
    basis = math.sqrt(2 / n) * torch.cos(torch.outer(at, at + 0.5) * (math.pi / n))
    basis[0] /= math.sqrt(2)
    return basis
