"""Super-resolution: the signal is seen through a low-pass filter, at every `factor`-th place.

    A = M_1 (x) ... (x) M_d,
    M_k: one (n_k / factor, n_k) matrix per spatial axis, the same for every channel
    M_k = U_k diag(s_k) V_k^T,  so that  A = (U_1 (x) ... ) diag(s_1 (x) ...) (V_1 (x) ...)^T

The matrices are small and hold the borders too, so that the adjoint is a true transpose and the
inverse a closed form.

average
    M = block averages: M M^T = I / factor; solve(v) = v / (r2 / factor^d + s2),
        and A^+ repeats each value over its block.
bicubic
    antialiased: Keys' cubic (a = -1/2), widened by the factor, cut at the borders,
        rows summing to 1. Keys 1981,
          doi:10.1109/TASSP.1981.1163711; the convention of Pillow's `Image.resize(..., BICUBIC)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from deft import checks
from deft.errors import InvalidInput
from deft.operators.base import SpectralOperator
from deft.operators.checked import Shape
from deft.operators.parameters import event_shape_of
from deft.types import Measurement, Signal, Times, expand


@final
class SuperResolution(SpectralOperator):
    """Averages over blocks of `factor` places per axis, or antialiased bicubic interpolation.

    `event_shape` is the signal's, (channels, *space); each spatial size must be a multiple of
    `factor`.
    """

    def __init__(self, factor: int, event_shape: Sequence[int], kernel: str = "average") -> None:
        super().__init__()
        space, factor = event_shape_of(event_shape)[1:], check_arguments(factor, kernel)
        if not space:
            raise InvalidInput(
                "event_shape", given=tuple(event_shape), expected="(channels, *space)"
            )
        if any(n % factor for n in space):
            raise InvalidInput(
                "factor",
                given=factor,
                expected=f"a number that divides the sizes of the signals, {space}",
                advice=_what_fits(space, factor),
            )
        self.factor, self.kernel, self.space = factor, kernel, space
        self._flat = kernel == "average"  # all singular values are equal
        dtype = torch.get_default_dtype()
        for axis, n in enumerate(space):
            matrix = _MATRICES[kernel](n, self.factor)
            u, s, v_t = _thin_svd(matrix, self._flat)
            for name, value in (("matrix", matrix), ("u", u), ("s", s), ("v_t", v_t)):
                self.register_buffer(f"_{name}_{axis}", value.to(dtype))

    def signal_shape(self) -> Shape:
        return (None, *self.space)

    def measurement_shape(self) -> Shape:
        return (None, *(n // self.factor for n in self.space))

    def forward(self, x_0: Signal) -> Measurement:
        return self._along_axes("matrix", x_0)

    def adjoint(self, y: Measurement) -> Signal:
        return self._along_axes("matrix", y, transposed=True)

    def solve(self, v: Measurement, r2: Times, s2: Times) -> Measurement:
        if self._flat:
            return v / expand(torch.as_tensor(r2 / self.factor ** len(self.space) + s2), v)
        return super().solve(v, r2, s2)

    def singular_values(self, like: Tensor) -> Tensor:
        product = torch.ones((), dtype=like.dtype, device=like.device)
        for axis in range(len(self.space)):
            product = product[..., None] * getattr(self, f"_s_{axis}").to(like.dtype)
        return product[None, None]

    def v_t(self, x_0: Signal) -> Tensor:
        return self._along_axes("v_t", x_0)

    def v(self, coefficients: Tensor) -> Signal:
        return self._along_axes("v_t", coefficients, transposed=True)

    def u_t(self, y: Measurement) -> Tensor:
        return self._along_axes("u", y, transposed=True)

    def u(self, coefficients: Tensor) -> Measurement:
        return self._along_axes("u", coefficients)

    def _along_axes(self, name: str, x: Tensor, transposed: bool = False) -> Tensor:
        """Apply each axis' matrix along its axis; the last axis first."""
        for axis in reversed(range(len(self.space))):
            matrix = getattr(self, f"_{name}_{axis}").to(x.dtype)
            x = torch.movedim(
                torch.movedim(x, 2 + axis, -1) @ (matrix if transposed else matrix.mT), -1, 2 + axis
            )
        return x


def _average(n: int, factor: int) -> Tensor:
    """Block averages: (n / factor, n)."""
    return torch.eye(n // factor, dtype=torch.float64).repeat_interleave(factor, dim=1) / factor


def _bicubic(n: int, factor: int) -> Tensor:
    """Keys' cubic at the centres of the blocks, `factor` times as wide, cut at the borders and
    normalised: (n / factor, n).
    """
    centres = (torch.arange(n // factor, dtype=torch.float64) + 0.5) * factor
    places = torch.arange(n, dtype=torch.float64) + 0.5
    d = ((places - centres[:, None]) / factor).abs()
    near, far = 1.5 * d**3 - 2.5 * d**2 + 1, -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
    weights = torch.where(d < 1, near, torch.where(d < 2, far, torch.zeros_like(d)))
    return weights / weights.sum(1, keepdim=True)


_MATRICES = {"average": _average, "bicubic": _bicubic}


def check_arguments(factor: float, kernel: str) -> int:
    """The factor. Raises InvalidInput unless it is a whole number, and the kernel is known."""
    checks.name("kernel", kernel, _MATRICES)
    return checks.whole(
        "factor",
        factor,
        meaning="how many places an average or an interpolation makes one of, along each axis",
    )


def _what_fits(space: tuple[int, ...], factor: int) -> str:
    """Which sizes this factor divides, and which factors divide these sizes."""
    if not space:
        return "a signal has channels first, then at least one axis of space"
    cropped = tuple(n - n % factor for n in space)
    divisors = [k for k in range(2, min(space) + 1) if all(n % k == 0 for n in space)]
    crop = f"crop to {' x '.join(map(str, cropped))}" if all(cropped) else ""
    other = f"use a factor of {', '.join(map(str, divisors[:8]))}" if divisors else ""
    return ", or ".join(part for part in (crop, other) if part)


def _thin_svd(matrix: Tensor, flat: bool) -> tuple[Tensor, Tensor, Tensor]:
    """(U, s, V^T); with U = I where all singular values are equal."""
    if not flat:
        result: tuple[Tensor, Tensor, Tensor] = torch.linalg.svd(matrix, full_matrices=False)
        return result
    s = matrix.norm(dim=1)
    return torch.eye(len(matrix), dtype=matrix.dtype), s, matrix / s[:, None]
