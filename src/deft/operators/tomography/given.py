"""The images and sinograms that a scan is given, checked against its size and its angles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from deft.errors import InvalidInput

if TYPE_CHECKING:
    from deft.operators.tomography.operator import Tomography


def check_images(scan: Tomography, x_0: Tensor) -> None:
    """Raises InvalidInput for a tensor that is none of this scan's images."""
    _check(scan, x_0, scan.size, "images", "(batch, channels, height, width)", False)


def check_sinograms(scan: Tomography, y: Tensor, finite: bool = False) -> None:
    """Raises InvalidInput for a tensor that is none of this scan's sinograms; with `finite` also
    for NaN and infinity.
    """
    axes = "(batch, channels, views, detectors)"
    _check(scan, y, scan.sinogram_shape, "sinograms", axes, finite)


def _check(
    scan: Tomography, x: Tensor, wanted: tuple[int, int], what: str, axes: str, finite: bool
) -> None:
    """Raise InvalidInput for a tensor that is none of this scan's images or sinograms."""
    views, detectors = scan.sinogram_shape
    holds = (
        f"it has {views} views and {detectors} detectors of images {scan.size[0]} x {scan.size[1]}"
    )
    if x.dtype not in (torch.float32, torch.float64):
        raise InvalidInput(
            f"this scan takes {what} of real numbers",
            given=f"values of {x.dtype}",
            expected="torch.float32 or float64",
            advice="use .float()",
        )
    if x.ndim != 4 or tuple(x.shape[2:]) != wanted:
        turned = x.ndim == 4 and tuple(x.shape[:1:-1]) == wanted and what == "sinograms"
        raise InvalidInput(
            f"this scan has {what} of {wanted[0]} x {wanted[1]}, {axes}",
            given=f"the shape {tuple(x.shape)}",
            advice=f"{holds}; it looks transposed, as scikit-image has it: use .mT"
            if turned
            else holds,
        )
    if len(scan.angles) not in (1, len(x)):
        raise InvalidInput(
            f"this scan has {len(scan.angles)} sets of angles, one per signal, and {len(x)} "
            f"{what} came; use take or repeat."
        )
    if finite and not bool(x.isfinite().all()):
        bad = ~x.isfinite().flatten(1)
        raise InvalidInput(
            f"{what} of signal {int(bad.any(1).nonzero()[0])} of the batch",
            given=f"{int(bad.sum())} values that are not finite",
            expected="finite values",
        )
