"""The steps of JPEG on one plane or between planes: blocks, sampling of colours, rounding.

The cosine transform of a block b of 8 x 8 levels is C b C^T, with C orthonormal,

    C_uv = sqrt((2 - [u = 0]) / 8) cos((2 v + 1) u pi / 16)

Colours are those of JFIF (ITU-T T.871): Y = 0.299 R + 0.587 G + 0.114 B, Cb and Cr the scaled
differences of blue and red to it. A plane of colours may be sampled once for 1 x 2 or 2 x 2 places:
the encoder averages, the decoder interpolates (3/4 of the nearer sample, 1/4 of the farther one).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from deft.operators.colourisation import LUMA

BLOCK = 8
_YCC = (
    LUMA,
    (-0.168735892, -0.331264108, 0.5),
    (0.5, -0.418687589, -0.081312411),
)
_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136286, -0.714136286), (1.0, 1.772, 0.0))
NORMS = tuple(math.sqrt(sum(w * w for w in row)) for row in _YCC)  # of the rows: Y, Cb, Cr


def straight(rounded: Tensor, x: Tensor) -> Tensor:
    """`rounded`, with the derivative of x: rounding has none (straight-through)."""
    return x + (rounded - x).detach()


def levels(x: Tensor) -> Tensor:
    """x rounded to whole grey levels, halves upwards; the derivative is that of x."""
    return straight((x + 0.5).floor(), x)


def alternating(x: Tensor, even: float, odd: float) -> Tensor:
    """x rounded downwards after these are added to its even and odd columns: the reference code
    rounds so where it samples colours, so that halves go up as often as down.
    """
    added = x.new_tensor((even, odd)).repeat(-(-x.shape[-1] // 2))[: x.shape[-1]]
    return straight((x + added).floor(), x)


def to_ycc(x: Tensor) -> Tensor:
    """Y, Cb and Cr of red, green and blue: the linear part, without the 128 of the colours."""
    return torch.einsum("kc,nchw->nkhw", x.new_tensor(_YCC), x)


def to_rgb(x: Tensor) -> Tensor:
    """The inverse of `to_ycc`, to nine digits."""
    return torch.einsum("kc,nchw->nkhw", x.new_tensor(_RGB), x)


def padded(x: Tensor, down: int, across: int) -> Tensor:
    """x continued by its last row and column to multiples of these."""
    missing = (-x.shape[-1] % across, -x.shape[-2] % down)
    return F.pad(x, (0, missing[0], 0, missing[1]), mode="replicate") if any(missing) else x


def averaged(x: Tensor, down: int, across: int) -> Tensor:
    """The mean over each down x across places, at the edges of what is repeated beyond them."""
    return F.avg_pool2d(padded(x, down, across), (down, across))


def sampled(x: Tensor, down: int, across: int) -> Tensor:
    """`averaged`, in whole levels."""
    if across == 1:
        return averaged(x, down, across)
    return alternating(averaged(x, down, across), *((0.0, 0.5) if down == 1 else (0.25, 0.5)))


def interpolated(x: Tensor, down: int, across: int, size: tuple[int, int]) -> Tensor:
    """Samples of a plane at every place of a picture of this size, in whole levels."""
    if across == 2:
        x = F.interpolate(x, scale_factor=(down, across), mode="bilinear", align_corners=False)
        x = alternating(x, *((0.25, 0.5) if down == 1 else (0.5, 0.4375)))
    return x[..., : size[0], : size[1]]


def sharpened(x: Tensor, down: int, across: int) -> Tensor:
    """The samples whose interpolation has the averages x: `averaged` of `interpolated` keeps 6/8
    of a sample and takes 1/8 of each neighbour along an axis, which is undone here.
    """
    for axis, factor in ((-2, down), (-1, across)):
        if factor == 1:
            continue
        n = x.shape[axis]
        mix = 0.75 * torch.eye(n, dtype=x.dtype, device=x.device)
        for k in range(n):
            for j in (k - 1, k + 1):
                mix[k, min(max(j, 0), n - 1)] += 0.125
        inverse = torch.linalg.inv(mix)
        x = inverse @ x if axis == -2 else x @ inverse.T
    return x


def blocks(x: Tensor) -> Tensor:
    """The cosine transform of each block: (n, planes, rows, columns, 8, 8)."""
    n, planes, height, width = x.shape
    c = cosines(x)
    tiles = x.reshape(n, planes, height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    return c @ tiles.transpose(3, 4) @ c.T


def plane(coefficients: Tensor) -> Tensor:
    """The inverse of `blocks`."""
    n, planes, rows, columns, *_ = coefficients.shape
    c = cosines(coefficients)
    tiles = (c.T @ coefficients @ c).transpose(3, 4)
    return tiles.reshape(n, planes, rows * BLOCK, columns * BLOCK)


def cosines(like: Tensor) -> Tensor:
    """C, (8, 8)."""
    u, v = (torch.arange(BLOCK, dtype=torch.float64)[k] for k in ((slice(None), None), (None,)))
    c = math.sqrt(2 / BLOCK) * torch.cos((2 * v + 1) * u * math.pi / (2 * BLOCK))
    c[0] = math.sqrt(1 / BLOCK)
    return c.to(like)
