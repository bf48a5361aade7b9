"""A prior whose deep features are kept from one step of a walk to the next.

    x_0_hat_k = W_t(x_t) + c_t k_t F(outer levels at x_{t_k}; deep features of step k - (k mod n))

The deep levels of a U-Net see the whole signal at a low resolution, which changes little between
neighbouring steps; the outer ones see its detail. Every n-th step is evaluated whole, the steps
between take the deep features of the last whole one. Ma, Fang & Wang 2024, arXiv:2312.00858
(DeepCache), for the U-Net of `UNetPrior`. It is an approximation: samples are others, and whether
they are as well calibrated has to be measured (benchmarks/studies/cheaper.py).
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from deft import checks
from deft.errors import InvalidInput
from deft.priors.base import Prior
from deft.priors.unet import UNetPrior
from deft.priors.wrapped import WrappedPrior
from deft.transitions import Steps
from deft.types import Signal, Times


@final
class Reused(WrappedPrior):
    """A `UNetPrior` that is evaluated whole at every `every`-th time of a sampler's grid, the first
    one included; between, only its `outer` outermost levels are.

    Off a walk, or at a time that is not of the grid, it is evaluated whole. It lets no gradients
    pass: those through kept features would be wrong. Raises `InvalidInput` for another prior, or
    one that has no deeper levels.
    """

    def __init__(self, prior: Prior, every: int = 2, outer: int = 1) -> None:
        if not hasattr(prior, "denoise_keeping"):
            raise InvalidInput(
                "reuse",
                given=f"{prior.name}, a {type(prior).__name__}",
                expected="a UNetPrior, whose deep features can be kept",
                advice="leave it out for this prior",
            )
        super().__init__(prior)
        self.every = checks.whole(
            "reuse",
            every,
            most=1000,
            meaning="the steps that share their deep features",
            advice="1 evaluates every step whole",
        )
        levels = self._asked.network.levels
        if not 1 <= outer < levels:
            raise InvalidInput(
                "outer",
                given=outer,
                expected=f"a whole number from 1 to {levels - 1}: {prior.name} has {levels} levels",
            )
        self.outer, self.differentiable = outer, False
        self._times: dict[float, int] = {}
        self._kept: Tensor | None = None

    @property
    def _asked(self) -> UNetPrior:
        return self.prior  # type: ignore[return-value]

    def around(self, prior: Prior) -> Reused:
        return Reused(prior, self.every, self.outer)

    def on(self, steps: Steps) -> Reused:
        bound = self.around(self.prior.on(steps))
        bound._times = {t: k for k, t in enumerate(steps.times.tolist())}
        return bound

    def identity(self) -> dict[str, object]:
        """That of the prior, and what is kept."""
        return {**self.prior.identity(), "reuse": {"every": self.every, "outer": self.outer}}

    def denoise(self, x_t: Signal, t: Times) -> Signal:
        place = self._times.get(float(t.flatten()[0])) if len(t) == 1 else None
        kept = self._kept if place is not None and place % self.every else None
        fits = kept is not None and len(kept) == len(x_t)
        with torch.no_grad():
            x_0_hat, deep = self._asked.denoise_keeping(x_t, t, self.outer, kept if fits else None)
        self._kept = deep if place is not None else None
        return x_0_hat
