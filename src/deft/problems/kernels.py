"""Distributions over blur kernels.

A signal's kernel depends on its own seed alone. `card` says how to rebuild the distribution.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor

from deft import checks
from deft.errors import InvalidInput
from deft.noise import Noise
from deft.operators.kernels import STD, checked_size, gaussian_kernel, motion_kernel
from deft.storage.cards import card_of
from deft.types import Signal


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
            low, high = checks.positive_range("std", std, STD)
        else:
            low = high = checks.positive("std", std, STD)
        self.size, self.std = checked_size(size), (low, high)

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
        self.size, self.smoothness = checked_size(size), float(smoothness)

    def draw(self, like: Signal, noise: Noise) -> Tensor:
        if like.ndim != 4:
            raise InvalidInput(
                "motion kernels blur images, (channels, height, width); got signals of shape "
                f"{tuple(like.shape[1:])}."
            )
        return motion_kernel(self.size, noise, self.smoothness).to(like)

    def init_args(self) -> dict[str, object]:
        return {"size": self.size, "smoothness": self.smoothness}
