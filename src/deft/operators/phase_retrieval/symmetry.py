"""The symmetries of the magnitudes of a Fourier transform: which of the images that it cannot tell
apart is nearest to a given one.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def aligned(u: Tensor, reference: Tensor, signed: bool) -> Tensor:
    """u, each channel by itself, rotated by 180 degrees or not, moved, and where it is `signed`
    negated, so that it is nearest to `reference`.
    """
    height, width = u.shape[2:]
    canvas = (2 * height, 2 * width)
    target = torch.fft.rfft2(reference, s=canvas)
    best, score = u, u.new_full(u.shape[:2], -math.inf)
    for turned in (u, u.flip((2, 3))):
        overlap = torch.fft.irfft2(
            target * torch.fft.rfft2(turned, s=canvas).conj(), s=canvas
        ).flatten(2)
        for sign in (1, -1) if signed else (1,):
            value, at = (sign * overlap).max(dim=2)
            moved = sign * _moved(turned, at // canvas[1], at % canvas[1])
            better = value > score
            best, score = (
                torch.where(better[..., None, None], moved, best),
                torch.where(better, value, score),
            )
    return best


def _moved(u: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """u moved about a canvas twice its size that has no borders, cut to u's own size; one
    translation for each signal and channel.
    """
    height, width = u.shape[2:]
    canvas = torch.nn.functional.pad(u, (0, width, 0, height))
    rows = (torch.arange(height, device=u.device) - down[..., None]) % (2 * height)
    columns = (torch.arange(width, device=u.device) - right[..., None]) % (2 * width)
    canvas = canvas.gather(2, rows[..., None].expand(*rows.shape, 2 * width))
    return canvas.gather(3, columns[:, :, None].expand(*u.shape))
