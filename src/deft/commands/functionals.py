"""The linear functionals w^T x that a command line names: an npy file of their weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from deft.data import read_array
from deft.errors import InvalidInput
from deft.metrics.intervals import MOST, Intervals

HELP = (
    "an npy file (k, *shape of a signal): weights of linear functionals w^T x, such as the mean "
    "over a region, each of which has an interval of its own"
)


def read(path: Path, shape: tuple[int, ...]) -> Tensor:
    """(k, *shape). Raises `InvalidInput` where the file holds something else, or a functional that
    is zero everywhere.
    """
    array = np.asarray(read_array(path))
    expected = f"numbers of shape (k, {', '.join(map(str, shape))}), k from 1 to {MOST}"
    if array.shape == shape:
        array = array[None]
    if array.shape[1:] != shape or not 1 <= len(array) <= MOST or array.dtype.kind not in "fiub":
        raise InvalidInput(
            "--functionals",
            given=f"{array.dtype} of shape {array.shape} in {path}",
            expected=expected,
            advice="one array of weights for each functional, of the shape of a signal",
        )
    weights = torch.from_numpy(array.astype(np.float32))
    wrong = [
        str(i)
        for i, row in enumerate(weights.flatten(1))
        if not bool(row.isfinite().all()) or not bool(row.any())
    ]
    if wrong:
        raise InvalidInput(
            "--functionals",
            given=f"NaN, infinite values, or zeros alone, in row {', '.join(wrong[:5])} of {path}",
            expected="finite weights, some of which are not zero",
        )
    return weights


def same(weights: Tensor, intervals: Intervals | None) -> None:
    """Raise `InvalidInput` where they are not those that the intervals were calibrated for."""
    if intervals is None or not intervals.knows(weights):
        raise InvalidInput(
            "--functionals",
            given="functionals without calibrated factors",
            expected="those of an --h that deft conformal --functionals has calibrated",
            advice="give the same file to deft conformal, and --h from its --out",
        )
