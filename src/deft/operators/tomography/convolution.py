"""A^T A of a scan in the Fourier basis, as if it were a periodic convolution.

It is measured by its response to points. Its inverse preconditions conjugate gradients.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_POINTS = 16
_QUASI_RANDOM = (0.7548776662466927, 0.5698402909980532)  # Roberts 2018, the R2 sequence


def power(
    size: tuple[int, int], sets: int, normal: Callable[[Tensor], Tensor], like: Tensor
) -> Tensor:
    """A^T A, which is `normal`, for each of the sets of angles: (1 or batch, 1, height, width // 2
    + 1).

    That with the mean response to points in the middle of the image, times 1 - |distance| / n along
    each axis (the nearest in the Frobenius norm, T. Chan 1988, doi:10.1137/0909051), and no entry
    below a hundredth of the largest, which rounding errors and few views would make.
    """
    with torch.inference_mode(False), torch.no_grad():
        spectrum = torch.fft.rfft2(_response(size, sets, normal, like)).real
        result: Tensor = spectrum.maximum(0.01 * spectrum.amax((2, 3), keepdim=True))
        return result


def _response(
    size: tuple[int, int], sets: int, normal: Callable[[Tensor], Tensor], like: Tensor
) -> Tensor:
    """A^T A of a point, tapered, moved to place 0 and averaged over points: (1 or batch, 1, height,
    width).
    """
    mean = torch.zeros(max(sets, 1), 1, *size, dtype=like.dtype, device=like.device)
    if not sets:
        return mean
    places = [
        tuple(int(n * (0.25 + 0.5 * (k * step % 1))) for n, step in zip(size, _QUASI_RANDOM))
        for k in range(_POINTS)
    ]
    points = torch.zeros(sets, _POINTS, *size, dtype=like.dtype, device=like.device)
    for k, (row, column) in enumerate(places):
        points[:, k, row, column] = 1
    responses = normal(points)
    for k, (row, column) in enumerate(places):
        mean += responses[:, k : k + 1].roll((-row, -column), (2, 3)) / _POINTS
    tapers = []
    for n in size:
        at = torch.arange(n, dtype=like.dtype, device=like.device)
        tapers.append(1 - torch.minimum(at, n - at) / n)
    return mean * tapers[0][:, None] * tapers[1]


class Derived(dict[str, Tensor]):
    """What is computed from the angles and kept with them by copies; neither pickled nor copied in
    depth.
    """

    def get(self, angles: Tensor, like: Tensor) -> Tensor | None:  # type: ignore[override]
        known = super().get("value")
        fits = (
            known is not None
            and self["angles"] is angles
            and known.dtype == like.dtype
            and known.device == like.device
        )
        return known if fits else None

    def keep(self, angles: Tensor, like: Tensor, value: Tensor) -> None:
        self.update(angles=angles, value=value)

    def __reduce__(self) -> tuple[type[Derived], tuple[()]]:
        return Derived, ()
