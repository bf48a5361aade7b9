"""Fourier and Hartley transforms over the axes of space, and convolution by them.

Batches of no signals pass through all of these.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def _space(x: Tensor) -> tuple[int, ...]:
    return tuple(range(2, x.ndim))


def filtered(x: Tensor, transfer: Tensor) -> Tensor:
    """The periodic convolution whose Fourier transform is `transfer`, given on half of the
    frequencies.
    """
    size = x.shape[2:]
    return (
        torch.fft.irfftn(transfer * half_spectrum(x, size), s=size, dim=_space(x)) if len(x) else x
    )


def half_spectrum(x: Tensor, size: Sequence[int]) -> Tensor:
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


def spectrum_of(x: Tensor) -> Tensor:
    return torch.fft.fftn(x, dim=_space(x)) if len(x) else x.to(x.dtype.to_complex())


def hartley(x: Tensor) -> Tensor:
    """The orthonormal discrete Hartley transform over the spatial axes; its own inverse."""
    spectrum = spectrum_of(x) / math.sqrt(math.prod(x.shape[2:]))
    return spectrum.real - spectrum.imag
