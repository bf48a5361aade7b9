"""Magnetic resonance imaging with a single coil: some of the frequencies of a complex image.

    A = M F,    F the orthonormal Fourier transform over the two axes of space,    M = diag(mask)

A complex image is a signal of two channels, (real, imaginary), and so is the measurement:
torch.view_as_real(z).movedim(-1, 1) of complex numbers z. The frequency 0 stands in the middle, at
n // 2 of each axis, in the measurement and in the mask, as scanners store them (torch.fft.fftshift
of what torch.fft.fft2 gives; the image is centred in the same way, its origin at n // 2, and F is
orthonormal). y keeps the shape of the signal, with zeros that are no measurements where the mask is
0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from deft.operators.base import SpectralOperator
from deft.operators.checked import Shape
from deft.operators.parameters import mask_of
from deft.types import Mask, Measurement, Signal


@final
class MRI(SpectralOperator):
    """A = M F, with U = I, s = mask and V^T = F.

    `mask` is (batch or 1, 1, height, width) over the frequencies, 1 = measured, the frequency 0 at
    (height // 2, width // 2): whole lines of them for Cartesian sampling
    (`deft.problems.CartesianMasks`). `sigma_y` is the noise of each of the two channels.
    """

    mask: Tensor
    signal_is = "complex images as two channels, real and imaginary, of the mask's size"
    measurement_is = "frequencies as two channels, real and imaginary, of the mask's size"
    measures_coefficients = True
    _lift_is = "its zero-filled reconstruction"

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.per_signal("mask", mask_of(mask, "height, width", "a frequency is measured"))

    def signal_shape(self) -> Shape:
        return (2, *self.mask.shape[2:])

    def measurement_shape(self) -> Shape:
        return (2, *self.mask.shape[2:])

    def forward(self, x_0: Signal) -> Measurement:
        return self.mask * self.v_t(x_0)

    def adjoint(self, y: Measurement) -> Signal:
        return self.v(self.mask * y)

    def lift(self, y: Measurement) -> Signal:
        """The zero-filled reconstruction F^H M y."""
        return self.adjoint(y)

    def coverage(self, like: Signal) -> Mask:
        """The share of frequencies that are measured: the same at every place."""
        share = self.mask.flatten(1).mean(1).to(like.dtype).reshape(-1, 1, 1, 1)
        return share.expand(len(like), 1, *like.shape[2:])

    def observed(self, y: Measurement) -> Measurement:
        return self.mask * y

    def count(self, y: Measurement) -> Tensor:
        return (2 * self.mask.flatten(1).sum(1)).to(y.dtype).expand(len(y))

    def singular_values(self, like: Tensor) -> Tensor:
        return self.mask.to(like.dtype)

    def doubts(self, y: Measurement) -> list[str]:
        """Whether the frequency 0 seems to stand in the corner, and whether most of what the mask
        calls measured is exactly 0.
        """
        return k_space_doubts(y.square().sum(1, keepdim=True), self.mask.to(y)) if len(y) else []

    def v_t(self, x_0: Signal) -> Tensor:
        return as_channels(torch.fft.fft2, x_0)

    def v(self, coefficients: Tensor) -> Signal:
        return as_channels(torch.fft.ifft2, coefficients)

    def u_t(self, y: Measurement) -> Tensor:
        return y

    def u(self, coefficients: Tensor) -> Measurement:
        return coefficients


def k_space_doubts(power: Tensor, mask: Tensor) -> list[str]:
    """What speaks against measurements of this power, (batch, 1, height, width), in one sentence
    each.
    """
    found = []
    shifted = strongest_in_corners(power, mask)
    if bool(shifted.any()):
        found.append(
            f"{int(shifted.sum())} of {len(power)} measurements are strongest in "
            "the corners, as if the frequency 0 stood at (0, 0); here it "
            "stands in the middle: use torch.fft.fftshift(y, dim=(-2, -1)), and the same for "
            "the mask, or say fft (docs/mri.md), which moves the origin of the image too"
        )
    absent = ((power == 0) & (mask > 0)).flatten(1).sum(1) / mask.flatten(1).sum(1).clamp(min=1)
    if bool((absent > 0.5).any()):
        found.append(
            f"{float(absent.max()):.0%} of the frequencies that the mask calls measured are "
            "exactly 0 in y; mask and measurement do not belong together"
        )
    return found


def strongest_in_corners(power: Tensor, mask: Tensor) -> Tensor:
    """Of measurements of this power, (batch, 1, height, width), which are strongest around the
    frequency (0, 0) of the array.
    """
    centre = _low_frequencies(power.shape[2:]).to(power)
    inner, outer = (
        (power * mask * where).sum((1, 2, 3)) / (mask * where).sum((1, 2, 3)).clamp(min=1)
        for where in (centre, torch.fft.ifftshift(centre, dim=(-2, -1)))
    )
    return outer > _MUCH * inner


def _low_frequencies(size: torch.Size) -> Tensor:
    """1 within an eighth of each axis around n // 2, where the frequency 0 stands."""
    inside = [((torch.arange(n) - n // 2).abs() <= n // 8).float() for n in size]
    return inside[0][:, None] * inside[1]


_MUCH = 4.0  # times as strong: beyond what images do


def as_channels(transform: Callable[..., Tensor], x: Tensor) -> Tensor:
    """A centred, orthonormal transform of complex images given as two channels."""
    if not len(x):  # Fourier transforms of nothing are errors in some libraries
        return x
    z = torch.fft.ifftshift(torch.complex(x[:, 0], x[:, 1]), dim=(-2, -1))
    z = torch.fft.fftshift(transform(z, norm="ortho"), dim=(-2, -1))
    return torch.stack([z.real, z.imag], dim=1)
