"""A problem of one's own: every other row is missing. A YAML file names it by its dotted path
(own_problem.yaml).
"""

from __future__ import annotations

import torch

from deft.noise import Noise
from deft.operators.base import ForwardOperator
from deft.operators.inpainting import Inpainting
from deft.problems import Problem, card_of
from deft.types import Signal


class MissingRows(Problem):
    """y = x_0 + sigma_y eps in every `keep`-th row; the first row drawn per signal."""

    def __init__(self, keep: int = 2, sigma_y: float = 0.0) -> None:
        super().__init__(sigma_y)
        self.keep = keep

    def operator(self, x_0: Signal, noise: Noise) -> ForwardOperator:
        first = (noise.uniform(0) * self.keep).long().to(x_0.device)
        rows = torch.arange(x_0.shape[-2], device=x_0.device)
        seen = (rows[None] % self.keep == first[:, None]).to(x_0)
        return Inpainting(seen[:, None, :, None].expand(-1, 1, -1, x_0.shape[-1]).contiguous())

    def card(self) -> dict[str, object]:
        return card_of(self, {"keep": self.keep, "sigma_y": self.sigma_y})
