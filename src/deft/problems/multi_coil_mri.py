"""MRI with several coils, whose sensitivities are smooth and stand around the image.

    S_c(r) ~ exp(-|r - r_c|^2 / (2 w^2) + i phi_c),    sum_c |S_c(r)|^2 = 1

r runs over [-1, 1]^2, the coils stand at r_c on a circle of radius 1.2, w = 0.8, and phi_c is the
angle at which a coil stands. Measurements from a scanner have their own sensitivities: give those
with the operator (`--sensitivities`).
"""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor

from deft import checks
from deft.noise import Noise
from deft.operators import multi_coil_mri
from deft.operators.base import ForwardOperator
from deft.problems.base import NoiseLevel, Problem
from deft.problems.linear import observing, part_of
from deft.problems.masks import CartesianMasks, Masks
from deft.storage.cards import card_of
from deft.types import Signal

_RADIUS, _WIDTH = 1.2, 0.8  # in half sides of the image
_MOST_COILS = 64


@final
class MultiCoilMRI(Problem):
    """y_c = M F S_c x_0 + sigma_y eps: lines of frequencies of complex images, (2, height, width),
    seen by `coils` coils.

    `masks` draws which frequencies each signal has; `CartesianMasks()` by default, one line in
    four.
    """

    def __init__(
        self, coils: int = 4, masks: Masks | None = None, sigma_y: NoiseLevel = 0.0
    ) -> None:
        super().__init__(sigma_y)
        self.coils = checks.whole("coils", coils, 1, _MOST_COILS, "how many coils there are")
        self.masks = CartesianMasks() if masks is None else part_of("masks", masks, Masks)

    def operator(self, x_0: Signal, noise: Noise) -> ForwardOperator:
        return multi_coil_mri.MultiCoilMRI(
            observing(self.masks, x_0, noise),
            around(self.coils, (x_0.shape[-2], x_0.shape[-1])).to(x_0),
        )

    def card(self) -> dict[str, object]:
        return card_of(
            self, {"coils": self.coils, "masks": self.masks.card(), "sigma_y": self.sigma_y}
        )


def around(coils: int, size: tuple[int, int]) -> Tensor:
    """Sensitivities of coils around an image of this size: (1, 2, coils, height, width)."""
    down, across = (
        torch.linspace(-1, 1, n, dtype=torch.float64) if n > 1 else torch.zeros(1) for n in size
    )
    angle = 2 * math.pi * torch.arange(coils, dtype=torch.float64) / coils
    angle = angle.reshape(-1, 1, 1)
    apart = (down[:, None] - _RADIUS * angle.sin()) ** 2 + (across - _RADIUS * angle.cos()) ** 2
    strength = (-apart / (2 * _WIDTH**2)).exp()
    strength = strength / strength.square().sum(0, keepdim=True).sqrt()
    return torch.stack([strength * angle.cos(), strength * angle.sin()])[None].float()
