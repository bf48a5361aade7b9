"""Where the frequency 0 and the origin of the image stand in k-space that people have.

    y_f = sum_m x_m exp(-2 pi i f (m - m_0) / n) / sqrt(n)    for each axis of n places

    centred    f = 0 at n // 2, m_0 = n // 2    fftshift(fft2(ifftshift(x)))
    shifted    f = 0 at n // 2, m_0 = 0         fftshift(fft2(x))
    corner     f = 0 at 0,      m_0 = n // 2    fft2(ifftshift(x))
    plain      f = 0 at 0,      m_0 = 0         fft2(x)

The operators (`deft.operators.MRI`, `MultiCoilMRI`) are centred: what was measured by another
convention is shifted and turned by exp(2 pi i f (n // 2) / n), which leaves white noise white.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

FFT = Literal["centred", "shifted", "corner", "plain"]
FORMULAS: dict[FFT, str] = {
    "centred": "fftshift(fft2(ifftshift(x)))",
    "shifted": "fftshift(fft2(x))",
    "corner": "fft2(ifftshift(x))",
    "plain": "fft2(x)",
}
OTHER_ORIGIN: dict[FFT, FFT] = {
    "centred": "shifted",
    "shifted": "centred",
    "corner": "plain",
    "plain": "corner",
}
"""The convention whose frequency 0 stands at the same place, and the origin of the image not."""
_IN_CORNER = ("corner", "plain")  # the frequency 0
_FROM_CORNER = ("shifted", "plain")  # places of the image are counted


def centred(y: Tensor, fft: FFT | None) -> Tensor:
    """k-space (batch, 2, ..., height, width) of a convention, as the operators have it; None:
    centred.
    """
    z = torch.complex(y[:, 0], y[:, 1])
    if fft in _IN_CORNER:
        z = torch.fft.fftshift(z, dim=(-2, -1))
    if fft in _FROM_CORNER:
        z = z * _turn(y.shape[-2:]).to(z)
    return torch.stack([z.real, z.imag], dim=1)


def uncentred(y: Tensor, fft: FFT | None) -> Tensor:
    """The inverse of `centred`."""
    z = torch.complex(y[:, 0], y[:, 1])
    if fft in _FROM_CORNER:
        z = z * _turn(y.shape[-2:]).to(z).conj()
    if fft in _IN_CORNER:
        z = torch.fft.ifftshift(z, dim=(-2, -1))
    return torch.stack([z.real, z.imag], dim=1)


def centred_mask(mask: Tensor, fft: FFT | None) -> Tensor:
    """A mask that stands as k-space of that convention does, as the operators have it."""
    return torch.fft.fftshift(mask, dim=(-2, -1)) if fft in _IN_CORNER else mask


def _turn(size: torch.Size) -> Tensor:
    """exp(2 pi i f (n // 2) / n) for both axes, f from -(n // 2) on."""
    down, across = (
        torch.exp(2j * math.pi * (torch.arange(n, dtype=torch.float64) - n // 2) * (n // 2) / n)
        for n in size
    )
    return down[:, None] * across
