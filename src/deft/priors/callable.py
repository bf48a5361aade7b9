"""A prior that is any function: a network of the user's own, or a service behind an API.

x_0_hat = f(x_t, t)        or, from a noise prediction,        x_0_hat = (x_t - sigma_t f(x_t, t)) / alpha_t
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import final

import torch

from deft.errors import InvalidInput
from deft.priors.base import Prior
from deft.schedules import Schedule
from deft.types import Signal, Times

Function = Callable[[Signal, Times], Signal]


@final
class CallablePrior(Prior):
    """A denoiser f(x_t, t), with t one time per signal; `CallablePrior.from_eps` takes a noise prediction instead.

    `scale` is the standard deviation of x_0. Where `differentiable` is left False the function is called without gradients and need not be written in
    torch. A module given as `denoiser` is registered and frozen in place: its weights move with the prior and count for its identity.
    """

    def __init__(
        self,
        denoiser: Function,
        schedule: Schedule,
        event_shape: Sequence[int],
        scale: float,
        *,
        differentiable: bool = False,
        value_range: tuple[float, float] | None = None,
        name: str = "callable",
    ) -> None:
        super().__init__()
        if not scale > 0:
            raise InvalidInput(f"scale is the standard deviation of x_0 and must be > 0; got {scale}.")
        self.denoiser, self.schedule, self.event_shape, self.scale = denoiser, schedule, tuple(event_shape), float(scale)
        self.differentiable, self.value_range, self._name = differentiable, value_range, name
        self._from_eps = False
        self.frozen()

    @classmethod
    def from_eps(
        cls,
        eps: Function,
        schedule: Schedule,
        event_shape: Sequence[int],
        scale: float,
        *,
        differentiable: bool = False,
        value_range: tuple[float, float] | None = None,
        name: str = "callable",
    ) -> CallablePrior:
        """From a function that predicts the noise."""
        prior = cls(eps, schedule, event_shape, scale, differentiable=differentiable, value_range=value_range, name=name)
        prior._from_eps = True
        return prior

    @property
    def name(self) -> str:
        return self._name

    def denoise(self, x_t: Signal, t: Times) -> Signal:
        with torch.set_grad_enabled(self.differentiable and torch.is_grad_enabled()):
            half = self.weights_dtype.itemsize < 4
            out = self.denoiser(x_t.to(self.weights_dtype) if half else x_t, t.expand(len(x_t)))
            out = out.to(x_t.dtype) if half else out
            if out.shape != x_t.shape:
                raise InvalidInput(
                    f"the function of {self.name} must return the shape of x_t, {tuple(x_t.shape)}; it returned {tuple(out.shape)}."
                )
            if not self._from_eps:
                return out
            alpha_t, sigma_t = self.levels(x_t, t)
            return (x_t - sigma_t * out) / alpha_t
