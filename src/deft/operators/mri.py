"""Magnetic resonance imaging with a single coil: some of the frequencies of a complex image.

    A = M F,    F the orthonormal Fourier transform over the two axes of space,    M = diag(mask)

A complex image is a signal of two channels, (real, imaginary), and so is the measurement; the frequency 0 stands at n // 2 of each axis, in the
measurement and in the mask, as scanners store them. y keeps the shape of the signal, with zeros that are no measurements where the mask is 0.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.operators.base import SpectralOperator
from deft.types import Mask, Measurement, Signal


@final
class MRI(SpectralOperator):
    """A = M F, with U = I, s = mask and V^T = F.

    `mask` is (batch or 1, 1, height, width) over the frequencies, 1 = measured: whole lines of them for Cartesian sampling
    (`deft.operators.CartesianMasks`). `sigma_y` is the noise of each of the two channels.
    """

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        if mask.ndim != 4 or mask.shape[1] != 1:
            raise InvalidInput(f"a mask of frequencies has the shape (batch or 1, 1, height, width); got {tuple(mask.shape)}.")
        mask = mask if mask.is_floating_point() else mask.to(torch.get_default_dtype())
        if not bool(((mask == 0) | (mask == 1)).all()):
            raise InvalidInput(
                f"a mask holds 1 where a frequency is measured and 0 elsewhere; got values between {mask.min().item():g} and {mask.max().item():g}."
            )
        self.per_signal("mask", mask)

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

    def v_t(self, x_0: Signal) -> Tensor:
        self._check(x_0)
        return _as_channels(torch.fft.fft2, x_0)

    def v(self, coefficients: Tensor) -> Signal:
        return _as_channels(torch.fft.ifft2, coefficients)

    def u_t(self, y: Measurement) -> Tensor:
        return y

    def u(self, coefficients: Tensor) -> Measurement:
        return coefficients

    def _check(self, x_0: Signal) -> None:
        if x_0.ndim != 4 or x_0.shape[1] != 2:
            raise InvalidInput(
                f"MRI measures complex images as two channels, (2, height, width): real and imaginary; got signals of shape {tuple(x_0.shape[1:])}."
            )
        if x_0.shape[2:] != self.mask.shape[2:]:
            raise InvalidInput(
                f"the mask has the size {tuple(self.mask.shape[2:])}, the signal {tuple(x_0.shape[2:])}; they must be equal."
            )


def _as_channels(transform, x: Tensor) -> Tensor:
    """A centred, orthonormal transform of complex images given as two channels."""
    if not len(x):  # Fourier transforms of nothing are errors in some libraries
        return x
    z = torch.fft.ifftshift(torch.complex(x[:, 0], x[:, 1]), dim=(-2, -1))
    z = torch.fft.fftshift(transform(z, norm="ortho"), dim=(-2, -1))
    return torch.stack([z.real, z.imag], dim=1)
