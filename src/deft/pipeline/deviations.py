"""A standard deviation for each entry of a measurement: an array of its shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deft.data.arrays import read_array
from deft.errors import InvalidInput
from deft.likelihoods import GaussianLikelihood, Likelihood
from deft.types import Measurement


def read_deviations(what: str, path: Path, shape: tuple[int, ...], count: int) -> Tensor:
    """The array of a file, (count or 1, *shape). Raises `InvalidInput`, in the words of `what`, for
    another shape, and `BadImage` for a file that is none of numbers.
    """
    if not path.exists():
        raise InvalidInput(
            what,
            given=str(path),
            expected="a finite number >= 0, or an npy file that exists, with one for each entry",
        )
    return deviations(what, np.asarray(read_array(path)), shape, count)


def deviations(
    what: str, value: np.ndarray[Any, Any] | Tensor, shape: tuple[int, ...], count: int
) -> Tensor:
    """Standard deviations of `count` measurements of a shape, (count or 1, *shape); the axis that
    counts, and one of length 1 before the others, may be left out.
    """
    found = value if isinstance(value, Tensor) else torch.from_numpy(np.array(value))
    if not found.is_floating_point():
        raise InvalidInput(
            what,
            given=f"values of {found.dtype}",
            expected="floating-point standard deviations, of the shape of the measurements",
        )
    found = found.to(torch.get_default_dtype())
    if not bool(found.isfinite().any()):
        raise InvalidInput(
            what,
            given="no finite value",
            expected="a standard deviation > 0 for each entry that is measured",
        )
    plain = shape[1:] if shape[:1] == (1,) else shape
    for own in (shape, plain):
        if tuple(found.shape) == own:
            return found.reshape(1, *shape)
        each = found.ndim == len(own) + 1 and tuple(found.shape[1:]) == own
        if each and len(found) in (1, count):
            return found.reshape(-1, *shape)
    raise InvalidInput(
        what,
        given=f"an array of shape {tuple(found.shape)}",
        expected=f"{shape}, a standard deviation for each entry of a measurement, or "
        f"({count}, {', '.join(map(str, shape))})",
    )


def with_deviations(
    what: str, likelihood: Likelihood, y: Measurement, sigma_y: Tensor
) -> GaussianLikelihood:
    """The likelihood with these standard deviations. Raises `InvalidInput` where its noise has
    none, and for numbers that are not finite and > 0 where y is measured.
    """
    if not isinstance(likelihood, GaussianLikelihood):
        raise InvalidInput(
            what,
            given="standard deviations",
            expected=f"nothing: the noise of {type(likelihood).__name__} is not Gaussian",
            advice="leave it out",
        )
    return GaussianLikelihood(likelihood.operator, sigma_y.to(y))
