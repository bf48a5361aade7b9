"""Distances between two sets of signals, none of which needs trained weights.

    sliced Wasserstein   SW_p(x, y)^p = mean over directions u of
            mean_k |sort(u x)_k - sort(u y)_k|^p

    patch distance       SW_1 between patches of Laplacian pyramids, per level

    energy distance      2 E|x - y| - E|x - x'| - E|y - y'|

    MMD^2                E k(x, x') + E k(y, y') - 2 E k(x, y),
    k(x, y) = exp(-|x - y|^2 / (2 bandwidth^2))

Directions and places are drawn from a fixed seed, the same for both sets: equal sets have distance
0, and two methods are compared on the same draws.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from deft.errors import InvalidInput
from deft.types import Signal

_BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
_COARSEST = 16


def sliced_wasserstein(
    x: Signal, y: Signal, *, projections: int = 512, seed: int = 0, order: int = 2
) -> float:
    """The Wasserstein distance of order 1 or 2 between projections on random directions, averaged
    over the directions.

    Rabin et al. 2012, doi:10.1007/978-3-642-24785-9_37. Both sets hold the same number of signals.
    """
    _check_sets(x, y, same_number=True)
    if order not in (1, 2):
        raise InvalidInput(f"sliced_wasserstein is of order 1 or 2; got {order}.")
    # numpy: its sort of values alone is ten times as fast on a CPU as torch's, which also says
    # where they came from
    sorted_x, sorted_y = (
        np.sort(_project(z.flatten(1), projections, seed).cpu().numpy(), axis=1) for z in (x, y)
    )
    gap = sorted_x - sorted_y
    return float(np.abs(gap).mean()) if order == 1 else float(np.sqrt(np.square(gap).mean()))


def patch_distance(
    x: Signal, reference: Signal, *, patches: int = 128, projections: int = 128, seed: int = 0
) -> list[float]:
    """Sliced Wasserstein distance between patches of Laplacian pyramids, times 1000: one number per
    level, finest first.

    Karras et al. 2018, arXiv:1710.10196, section 5: 7x7 patches at random places of each level,
    from the full size down to 16; the last level is what remains. Departures: the sets may be small
    (but are equally large, since the distance shrinks with their size), places are the same in both
    sets, and each channel of both sets is centred and scaled by the mean and the standard deviation
    of the *reference*, so that a loss of contrast counts.
    """
    return patch_distance_leaving_out(
        x, reference, [], patches=patches, projections=projections, seed=seed
    )[0]


def patch_distance_leaving_out(
    x: Signal,
    reference: Signal,
    groups: Sequence[Sequence[int]],
    *,
    patches: int = 128,
    projections: int = 128,
    seed: int = 0,
) -> list[list[float]]:
    """The patch distances of the whole sets, and of the sets without each group of images: what a
    jackknife needs, for one sort.
    """
    _check_sets(x, reference, same_number=True)
    if x.ndim not in (3, 4) or min(x.shape[2:]) < 7:
        raise InvalidInput(
            "the patch distance takes signals (channels, *space) of one or two axes, at least 7 "
            f"places each; got {tuple(x.shape[1:])}."
        )
    rows: list[list[float]] = [[] for _ in range(len(groups) + 1)]
    pyramid, reference_pyramid = laplacian_pyramid(x), laplacian_pyramid(reference)
    for level, (fine, reference_fine) in enumerate(zip(pyramid, reference_pyramid)):
        a, b = (
            _patches(fine, patches, seed + level),
            _patches(reference_fine, patches, seed + level),
        )
        axes = [i for i in range(b.ndim) if i != 1]
        mean, spread = (
            b.mean(axes, keepdim=True),
            b.std(axes, keepdim=True, correction=0).clamp(min=1e-8),
        )
        a, b = ((a - mean) / spread).flatten(1), ((b - mean) / spread).flatten(1)
        sorted_a, owner_a = _project_and_sort(a, projections, seed)
        sorted_b, owner_b = _project_and_sort(b, projections, seed)
        rows[0].append(1000 * float((sorted_a - sorted_b).abs().mean()))
        # numpy: selecting by a mask is ten times faster there
        value_a, image_a, value_b, image_b = (
            v.cpu().numpy() for v in (sorted_a, owner_a // patches, sorted_b, owner_b // patches)
        )
        for row, group in zip(rows[1:], groups):
            left = np.ones(len(x), dtype=bool)
            left[list(group)] = False
            row.append(1000 * float(np.abs(value_a[left[image_a]] - value_b[left[image_b]]).mean()))
    return rows


def laplacian_pyramid(x: Signal) -> list[Signal]:
    """Bands of falling frequency, each half as wide as the one before, and the rest: their sum,
    scaled up, is x.

    Burt & Adelson 1983, doi:10.1109/TCOM.1983.1095851. Levels go on while the next one has at least
    16 places per axis.
    """
    bands = []
    while min(x.shape[2:]) // 2 >= _COARSEST:
        low = _every_second(_blur(x))
        bands.append(x - _upsample(low, x))
        x = low
    return [*bands, x]


def energy_distance(x: Signal, y: Signal) -> float:
    """The energy distance, by its unbiased estimate: it may fall below 0 for equal distributions.

    Székely & Rizzo 2013, doi:10.1016/j.jspi.2013.03.018.
    """
    _check_sets(x, y)
    a, b = x.flatten(1).double(), y.flatten(1).double()
    return float(
        2 * torch.cdist(a, b).mean()
        - _off_diagonal_mean(torch.cdist(a, a))
        - _off_diagonal_mean(torch.cdist(b, b))
    )


def mmd(x: Signal, y: Signal, *, bandwidth: float | None = None) -> float:
    """The squared maximum mean discrepancy under a Gaussian kernel, by its unbiased estimate.

    Gretton et al. 2012, JMLR 13:723, Lemma 6. `bandwidth` defaults to the median distance between
    signals of the two sets together.
    """
    _check_sets(x, y)
    a, b = x.flatten(1).double(), y.flatten(1).double()
    if bandwidth is None:
        bandwidth = float(F.pdist(torch.cat([a, b])).median())
    if not bandwidth > 0:
        raise InvalidInput(
            f"the bandwidth of the kernel is a distance > 0; got {bandwidth:g}; give one."
        )
    k_xx, k_yy, k_xy = (
        torch.exp(-(torch.cdist(u, v) ** 2) / (2 * bandwidth**2))
        for u, v in ((a, a), (b, b), (a, b))
    )
    return float(_off_diagonal_mean(k_xx) + _off_diagonal_mean(k_yy) - 2 * k_xy.mean())


def _project_and_sort(x: Tensor, projections: int, seed: int) -> tuple[Tensor, Tensor]:
    """Projections on random unit directions, each sorted: (projections, number); and which row
    every value came from.
    """
    values, owner = _project(x, projections, seed).sort(dim=1)
    return values, owner


def _project(x: Tensor, projections: int, seed: int) -> Tensor:
    """Projections on random unit directions: (projections, number)."""
    directions = torch.randn(x.shape[1], projections, generator=torch.Generator().manual_seed(seed))
    directions = (directions / directions.norm(dim=0)).to(x)
    result: Tensor = (x @ directions).T
    return result


def _patches(x: Tensor, patches: int, seed: int) -> Tensor:
    """`patches` windows of 7 places per axis from every image: (images * patches, channels,
    *window).
    """
    generator = torch.Generator().manual_seed(seed)
    windows = x
    for axis in range(2, x.ndim):
        windows = windows.unfold(axis, 7, 1)
    windows = torch.movedim(windows, 1, x.ndim - 1)
    places = [
        torch.randint(n, (len(x), patches), generator=generator).to(x.device)
        for n in windows.shape[1 : x.ndim - 1]
    ]
    image = torch.arange(len(x), device=x.device)[:, None].expand(-1, patches)
    return windows[(image, *places)].flatten(0, 1)


def _blur(x: Tensor) -> Tensor:
    """The binomial filter of five taps along every axis, mirrored at the ends."""
    taps = torch.tensor(_BINOMIAL, dtype=x.dtype, device=x.device)
    for axis in range(2, x.ndim):
        y = x.movedim(axis, -1)
        x = (
            (F.pad(y.flatten(0, -2)[:, None], (2, 2), mode="reflect")[:, 0].unfold(-1, 5, 1) @ taps)
            .reshape(y.shape)
            .movedim(-1, axis)
        )
    return x


def _upsample(low: Tensor, like: Tensor) -> Tensor:
    """Twice as wide, by zeros in between and the same filter."""
    wide = torch.zeros_like(like)
    _every_second(wide).copy_(low)
    result: Tensor = 2 ** (like.ndim - 2) * _blur(wide)
    return result


def _every_second(x: Tensor) -> Tensor:
    """The even places of every axis, as a view."""
    return x[:, :, ::2] if x.ndim == 3 else x[:, :, ::2, ::2]


def _off_diagonal_mean(matrix: Tensor) -> Tensor:
    n = len(matrix)
    return (matrix.sum() - matrix.diagonal().sum()) / (n * (n - 1))


def _check_sets(x: Tensor, y: Tensor, same_number: bool = False) -> None:
    if x.shape[1:] != y.shape[1:]:
        raise InvalidInput(
            f"the two sets hold signals of different shapes: {tuple(x.shape[1:])} and "
            f"{tuple(y.shape[1:])}."
        )
    if same_number and len(x) != len(y):
        raise InvalidInput(
            "the two sets must be equally large, since the distance depends on their size; got "
            f"{len(x)} and {len(y)}."
        )
    if min(len(x), len(y)) < (1 if same_number else 2):
        raise InvalidInput(f"too few signals to compare: {len(x)} and {len(y)}.")
