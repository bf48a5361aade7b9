"""What a method costs, in units that no machine changes: evaluations of the prior, and products with its Jacobian."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from deft.noise import Noise
from deft.priors.base import Prior
from deft.types import Signal, Times


@final
class Counted(Prior):
    """A prior that counts: signals denoised, and vector-Jacobian products with it (several per evaluation, where a method asks for them).

    What is asked of its parts (`take`), and of it in a context (`given`), counts as well.
    """

    def __init__(self, prior: Prior) -> None:
        super().__init__()
        self.prior = prior
        self._counts = {"evaluations": 0, "gradients": 0}
        self.schedule, self.event_shape, self.value_range = prior.schedule, prior.event_shape, prior.value_range
        self.differentiable = prior.differentiable

    @property
    def evaluations(self) -> int:
        """Signals denoised."""
        return self._counts["evaluations"]

    @property
    def gradients(self) -> int:
        """Vector-Jacobian products."""
        return self._counts["gradients"]

    @property
    def name(self) -> str:
        return self.prior.name

    @property
    def scale(self) -> float:  # type: ignore[override]
        return self.prior.scale

    @property
    def device(self) -> torch.device:
        return self.prior.device

    @property
    def dtype(self) -> torch.dtype:
        return self.prior.dtype

    @property
    def num_observations(self) -> int:
        return self.prior.num_observations

    def identity(self) -> dict[str, object]:
        return self.prior.identity()

    def take(self, index: Sequence[int] | Tensor) -> Counted:
        return self._sharing(self.prior.take(index))

    def given(self, **context: Tensor) -> Counted:
        return self._sharing(self.prior.given(**context))

    def _sharing(self, prior: Prior) -> Counted:
        other = Counted(prior)
        other._counts = self._counts
        return other

    def initial(self, noise: Noise) -> Signal:
        return self.prior.initial(noise)

    def denoise(self, x_t: Signal, t: Times) -> Signal:
        self._counts["evaluations"] += len(x_t)
        x_0_hat = self.prior.denoise(x_t, t)
        if x_0_hat.requires_grad:
            x_0_hat.register_hook(self._count_gradient)
        return x_0_hat

    def _count_gradient(self, v: Tensor) -> None:
        self._counts["gradients"] += len(v)
