"""Blur kernels, drawn per signal: non-negative, summing to 1.

A signal's kernel depends on its own seed alone. `card` says how to rebuild the distribution.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor

from deft import checks
from deft.errors import InvalidInput
from deft.noise import Noise
from deft.storage.cards import card_of
from deft.types import Signal


def gaussian_kernel(size: int, std: float | Tensor, axes: int = 2) -> Tensor:
    """exp(-|x|^2 / (2 std^2)), normalised: (batch or 1, size, ..., size), one for each `std` (in
    places of the signal).
    """
    size = _check_size(size)
    if not isinstance(std, Tensor):
        std = checks.positive("std", std, _STD)
    std = torch.as_tensor(std, dtype=torch.get_default_dtype()).reshape(-1)
    if not bool(((std > 0) & std.isfinite()).all()):
        checks.positive("std", std[~((std > 0) & std.isfinite())][0].item(), _STD)
    at = torch.arange(size, dtype=std.dtype) - size // 2
    profile = torch.softmax(-0.5 * (at / std[:, None]) ** 2, dim=1)
    kernel = profile
    for _ in range(axes - 1):
        kernel = kernel[..., None] * profile.reshape(-1, *(1,) * (kernel.ndim - 1), size)
    return kernel


def motion_kernel(size: int, noise: Noise, smoothness: float = 0.9) -> Tensor:
    """The trace of a shaking camera, one per seed: (batch, size, size).

        velocity_{k+1} = smoothness velocity_k + sqrt(1 - smoothness^2) eps,
        position_{k+1} = position_k + velocity_{k+1}

    The trace is centred on its mean, scaled so that it just fits into the kernel, and painted with
    bilinear weights, as long as the camera stays at each place.
    """
    size = _check_size(size)
    smoothness = checks.share(
        "smoothness", smoothness, "the correlation of a trace's successive velocities", one=False
    )
    eps = noise.to("cpu").normal(0, (_STEPS, 2))
    velocity, trace = eps[:, 0], []
    for k in range(_STEPS):
        velocity = smoothness * velocity + math.sqrt(1 - smoothness**2) * eps[:, k]
        trace.append(velocity)
    position = torch.stack(trace, dim=1).cumsum(1)
    position = position - position.mean(1, keepdim=True)
    reach = (
        size // 2 - (size + 1) % 2
    )  # an even kernel has one place less on the far side of its centre
    position = size // 2 + reach * position / position.abs().flatten(1).amax(1)[
        :, None, None
    ].clamp(min=1e-12)
    at = torch.arange(size, dtype=position.dtype)
    weights = (1 - (position[..., None] - at).abs()).clamp(min=0)
    return torch.einsum("bki,bkj->bij", weights[:, :, 0], weights[:, :, 1]) / _STEPS


_STEPS = 256
_STD = "the standard deviation of a Gaussian kernel, in places of the signal"


def _check_size(size: float) -> int:
    return checks.whole("size", size, meaning="how many places a kernel has along each axis")


class Kernels(ABC):
    """A distribution over blur kernels."""

    @abstractmethod
    def draw(self, like: Signal, noise: Noise) -> Tensor:
        """One kernel per signal of `like`, or one for all: (batch or 1, *kernel)."""

    @abstractmethod
    def init_args(self) -> dict[str, object]:
        """The arguments that rebuild this distribution; plain values."""

    def card(self) -> dict[str, object]:
        """The distribution as plain values (deft.storage.cards)."""
        return card_of(self, self.init_args())


@final
class GaussianKernels(Kernels):
    """Gaussian kernels; `std` in places of the signal: one number, or (low, high), between which
    each signal's own is drawn uniformly.
    """

    def __init__(self, size: int = 9, std: float | tuple[float, float] = 1.5) -> None:
        low = high = 0.0
        if isinstance(std, (tuple, list)):
            low, high = checks.positive_range("std", std, _STD)
        else:
            low = high = checks.positive("std", std, _STD)
        self.size, self.std = _check_size(size), (low, high)

    def draw(self, like: Signal, noise: Noise) -> Tensor:
        low, high = self.std
        std = (
            torch.tensor([low]) if low == high else low + (high - low) * noise.to("cpu").uniform(0)
        )
        return gaussian_kernel(self.size, std, like.ndim - 2).to(like)

    def init_args(self) -> dict[str, object]:
        return {"size": self.size, "std": list(self.std)}


@final
class MotionKernels(Kernels):
    """Traces of a shaking camera, drawn per signal; images only."""

    def __init__(self, size: int = 15, smoothness: float = 0.9) -> None:
        motion_kernel(size, Noise([]), smoothness)
        self.size, self.smoothness = _check_size(size), float(smoothness)

    def draw(self, like: Signal, noise: Noise) -> Tensor:
        if like.ndim != 4:
            raise InvalidInput(
                "motion kernels blur images, (channels, height, width); got signals of shape "
                f"{tuple(like.shape[1:])}."
            )
        return motion_kernel(self.size, noise, self.smoothness).to(like)

    def init_args(self) -> dict[str, object]:
        return {"size": self.size, "smoothness": self.smoothness}
