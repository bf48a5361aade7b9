"""Hybrid input-output (Fienup 1982, doi:10.1364/AO.21.002758) for the images behind magnitudes.

All images, channels and starts run side by side; the starts are always the same.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from deft.noise import Noise
from deft.types import Measurement


def reconstructed(
    y: Measurement, restarts: int, iterations: int, beta: float, signed: bool
) -> Tensor:
    """The image of each channel whose magnitudes are nearest to y, of all starts: (batch, channels,
    height, width). Images that are not `signed` are in [0, 1].
    """
    height, width = y.shape[2] // 2, y.shape[3] // 2
    found = _canvases(_half(y).clamp(min=0), restarts, iterations, beta, signed).flatten(
        0, 1
    )  # restarts come third: (signals channels, restarts, ...)
    u = found[..., :height, :width]
    misfit = (
        (_magnitudes(u, found.shape[-2:]) - _half(y).flatten(0, 1)[:, None]).flatten(2).norm(dim=2)
    )
    return u[torch.arange(len(u), device=u.device), misfit.argmin(1)].reshape(
        *y.shape[:2], height, width
    )


def _canvases(y: Tensor, restarts: int, iterations: int, beta: float, signed: bool) -> Tensor:
    """The canvases z of every restart: (batch, channels, restarts, 2 height, 2 width); y holds
    half of the magnitudes, as a real transform does.
    """
    size = (y.shape[-2], 2 * (y.shape[-1] - 1))
    height, width = size[0] // 2, size[1] // 2
    inside = torch.zeros(size, dtype=torch.bool, device=y.device)
    inside[:height, :width] = True
    angle = 2 * math.pi * Noise(range(restarts), dtype=torch.float64).uniform(0, y.shape[-2:]).to(y)
    y = y[:, :, None]
    z = torch.fft.irfft2(
        torch.polar(y.expand(*y.shape[:2], *angle.shape), angle), s=size, norm="ortho"
    )
    reduction = max(iterations // 5, 1)
    for k in range(iterations):
        spectrum = torch.fft.rfft2(z, norm="ortho")
        projected = torch.fft.irfft2(y * torch.sgn(spectrum), s=size, norm="ortho")
        possible = inside if signed else inside & (projected >= 0)
        outside = torch.zeros_like(z) if k >= iterations - reduction else z - beta * projected
        z = torch.where(possible, projected, outside)
    result: Tensor = z if signed else z.clamp(max=1)
    return result


def _half(y: Measurement) -> Tensor:
    """The mean of y at each frequency and its negative, on half of the frequencies: of a real image
    both are equal.
    """
    mirrored = y.flip((2, 3)).roll((1, 1), dims=(2, 3))
    return (0.5 * (y + mirrored))[..., : y.shape[3] // 2 + 1]


def _magnitudes(u: Tensor, canvas: tuple[int, ...]) -> Tensor:
    result: Tensor = torch.fft.rfft2(u, s=tuple(canvas), norm="ortho").abs()
    return result
