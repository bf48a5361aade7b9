"""Blur: convolution with a kernel per signal, the same for every channel.

    (A x)_i = sum_j k_j x_{i + c - j},    c = size // 2, the kernel's centre

Beyond the borders the signal is continued periodically (`CircularBlur`) or mirrored
(`ReflectBlur`); `Blur` chooses. "reflect" is scipy's word, and repeats the edge, c b a | a b c;
"reflect" of torch.nn.functional.pad and of deepinv does not, c b | a b c, and is not offered here.

Periodic: A is diagonal in the Fourier basis, A = F^H diag(k_hat) F. A real decomposition A = U
diag(s) V^T comes from the Hartley transform H, real, symmetric and orthonormal:

    s = |k_hat|,    V = H,    U = P H,    P = F^H diag(k_hat / |k_hat|) F

since A^T A is a symmetric circulant matrix, which H diagonalises, and P is orthogonal.

Mirrored: A = C E, with E the mirror extension and C the part of a longer periodic convolution that
needs no continuation; A^T = E^T C^T to rounding. For a kernel symmetric in each axis A is diagonal
in the cosine basis (DCT-II; Ng, Chan & Tang 1999, doi:10.1137/S1064827598341384), which
preconditions the conjugate gradients for every other.
"""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import final

import torch
from torch import Tensor

from deft import checks
from deft.operators.base import LinearOperator, SpectralOperator
from deft.operators.checked import Shape
from deft.operators.parameters import kernel_of
from deft.operators.solvers import conjugate_gradients
from deft.types import Measurement, Signal, Times, expand


def Blur(kernel: Tensor, border: str = "circular") -> LinearOperator:
    """Convolution with `kernel`, (batch or 1, *size), of one or two axes; `border` is "circular"
    (closed form) or "reflect", which repeats the edge.

    A kernel is a weighted mean: finite, its sum 1. Raises `InvalidInput` for one that is not
    finite, zero or of negative sum, and warns of other sums.
    """
    check_border(border)
    return _BORDERS[border](kernel)


def check_border(border: str) -> None:
    """Raises InvalidInput unless `border` is known."""
    checks.name("border", border, _BORDERS)


class _Convolution(LinearOperator):
    """What both borders share: the kernel, its Fourier transform, and `lift`.

    `lift` is the regularised inverse A^T (A A^T + 0.01 I)^{-1} y: the pseudo-inverse would blow up
    noise at the frequencies that the kernel loses.
    """

    kernel: Tensor
    signal_is = "channels first, with as many axes of space as the kernel has"
    measurement_is = signal_is
    _lift_is = "its regularised inverse"

    def __init__(self, kernel: Tensor) -> None:
        super().__init__()
        self.per_signal("kernel", kernel_of(kernel))
        self._known: tuple[Tensor, tuple[int, ...], Tensor] | None = None

    def signal_shape(self) -> Shape:
        return (None,) * self.kernel.ndim

    def measurement_shape(self) -> Shape:
        return (None,) * self.kernel.ndim

    @abstractmethod
    def _transform(self, size: tuple[int, ...]) -> Tensor:
        """k_hat on half of the frequencies, for signals of this size."""

    def _transfer(self, x: Tensor) -> Tensor:
        """k_hat for signals like x, kept until the kernel or the size changes."""
        size = tuple(x.shape[2:])
        if self._known is not None and self._known[0] is self.kernel and self._known[1] == size:
            return self._known[2]
        if any(k > n for k, n in zip(self.kernel.shape[1:], size, strict=True)):
            warnings.warn(
                f"the blur kernel, {tuple(self.kernel.shape[1:])}, is larger than the signal, "
                f"{size}, whose continuation it sees more than once.",
                stacklevel=5,
            )
        with torch.inference_mode(False):
            transfer = self._transform(size)
        self._known = None if transfer.requires_grad else (self.kernel, size, transfer)
        return transfer

    def lift(self, y: Measurement) -> Signal:
        one = torch.ones(1, dtype=y.dtype, device=y.device)
        return self.adjoint(self.solve(y, one, _LIFT_NOISE_2 * one))


@final
class CircularBlur(_Convolution, SpectralOperator):
    """Convolution with a kernel per signal, the signal continued periodically.

    At s2 = 0 singular values below sqrt(eps) of the largest count as zero: rounding errors in y
    would be larger than what is left of it.
    """

    def forward(self, x_0: Signal) -> Measurement:
        return _filter(x_0, self._transfer(x_0))

    def adjoint(self, y: Measurement) -> Signal:
        return _filter(y, self._transfer(y).conj())

    def solve(self, v: Measurement, r2: Times, s2: Times) -> Measurement:
        transfer = self._transfer(v)
        power = transfer.real**2 + transfer.imag**2
        r2, s2 = expand(torch.as_tensor(r2), v), expand(torch.as_tensor(s2), v)
        null = (s2 == 0) & (
            power <= torch.finfo(power.dtype).eps * expand(power.flatten(1).amax(1), power)
        )
        return _filter(
            v,
            torch.where(
                null,
                torch.zeros_like(power),
                1 / torch.where(null, torch.ones_like(power), r2 * power + s2),
            ),
        )

    def singular_values(self, like: Tensor) -> Tensor:
        return _spectrum(self._padded(like.shape[2:])).abs().to(like.dtype)

    def v_t(self, x_0: Signal) -> Tensor:
        return _hartley(x_0)

    def v(self, coefficients: Tensor) -> Signal:
        return _hartley(coefficients)

    def u_t(self, y: Measurement) -> Tensor:
        return _hartley(_filter(y, self._phase(y).conj()))

    def u(self, coefficients: Tensor) -> Measurement:
        return _filter(_hartley(coefficients), self._phase(coefficients))

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
        return _half_spectrum(self._padded(size), size)

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


@final
class ReflectBlur(_Convolution):
    """Convolution with a kernel per signal, the signal mirrored at its borders, which it repeats (c
    b a | a b c).
    """

    def forward(self, x_0: Signal) -> Measurement:
        transfer = self._transfer(x_0)
        for axis, at in enumerate(self._mirror(x_0)):
            x_0 = x_0.index_select(2 + axis, at)
        blurred = _filter(x_0, transfer)
        for axis, k in enumerate(self.kernel.shape[1:]):
            blurred = blurred.narrow(2 + axis, k - 1, blurred.shape[2 + axis] - k + 1)
        return blurred

    def adjoint(self, y: Measurement) -> Signal:
        transfer, mirror = self._transfer(y), self._mirror(y)
        extension = [p for k in reversed(self.kernel.shape[1:]) for p in (k - 1, 0)]
        x = _filter(torch.nn.functional.pad(y, extension), transfer.conj())
        for axis, at in enumerate(mirror):
            shape = (*x.shape[: 2 + axis], y.shape[2 + axis], *x.shape[3 + axis :])
            x = x.new_zeros(shape).index_add(2 + axis, at, x)
        return x

    def _transform(self, size: tuple[int, ...]) -> Tensor:
        longer = [n + k - 1 for n, k in zip(size, self.kernel.shape[1:], strict=True)]
        return _half_spectrum(self.kernel[:, None], longer)

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
        return self.adjoint(self._approximate_inverse(y, one, _LIFT_NOISE_2 * one)(y))

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


_BORDERS: dict[str, type[CircularBlur] | type[ReflectBlur]] = {
    "circular": CircularBlur,
    "reflect": ReflectBlur,
}
_LIFT_NOISE_2 = 0.01


def _space(x: Tensor) -> tuple[int, ...]:
    return tuple(range(2, x.ndim))


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


def _filter(x: Tensor, transfer: Tensor) -> Tensor:
    """The periodic convolution whose Fourier transform is `transfer`, given on half of the
    frequencies.
    """
    size = x.shape[2:]
    return (
        torch.fft.irfftn(transfer * _half_spectrum(x, size), s=size, dim=_space(x)) if len(x) else x
    )


def _half_spectrum(x: Tensor, size: Sequence[int]) -> Tensor:
    """The Fourier transform of x, zero-padded to `size`, on half of the frequencies of the last
    axis.
    """
    if not len(x):  # Fourier transforms of nothing are errors in some libraries
        return torch.empty(
            (*x.shape[:2], *size[:-1], size[-1] // 2 + 1),
            dtype=x.dtype.to_complex(),
            device=x.device,
        )
    result: Tensor = torch.fft.rfftn(x, s=tuple(size), dim=_space(x))
    return result


def _spectrum(x: Tensor) -> Tensor:
    return torch.fft.fftn(x, dim=_space(x)) if len(x) else x.to(x.dtype.to_complex())


def _hartley(x: Tensor) -> Tensor:
    """The orthonormal discrete Hartley transform over the spatial axes; its own inverse."""
    spectrum = _spectrum(x) / math.sqrt(math.prod(x.shape[2:]))
    return spectrum.real - spectrum.imag
