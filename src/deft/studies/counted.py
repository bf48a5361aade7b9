"""What a method costs, in units that no machine changes: evaluations of the prior, and products
with its Jacobian.
"""

from __future__ import annotations

from typing import final

from torch import Tensor

from deft.priors.base import Prior
from deft.priors.wrapped import WrappedPrior
from deft.types import Signal, Times


@final
class Counted(WrappedPrior):
    """A prior that counts: signals denoised, and vector-Jacobian products with it (several per
    evaluation, where a method asks for them).

    What is asked of its parts (`take`), and of it in a context (`given`), counts as well.
    """

    def __init__(self, prior: Prior) -> None:
        super().__init__(prior)
        self._counts = {"evaluations": 0, "gradients": 0}

    @property
    def evaluations(self) -> int:
        """Signals denoised."""
        return self._counts["evaluations"]

    @property
    def gradients(self) -> int:
        """Vector-Jacobian products."""
        return self._counts["gradients"]

    def around(self, prior: Prior) -> Counted:
        other = Counted(prior)
        other._counts = self._counts
        return other

    def denoise(self, x_t: Signal, t: Times) -> Signal:
        self._counts["evaluations"] += len(x_t)
        x_0_hat = self.prior.denoise(x_t, t)
        if x_0_hat.requires_grad:
            x_0_hat.register_hook(self._count_gradient)
        return x_0_hat

    def _count_gradient(self, v: Tensor) -> None:
        self._counts["gradients"] += len(v)
