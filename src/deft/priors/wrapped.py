"""A prior around another prior: what it does not say itself, the other one says."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from deft.codec import Codec
from deft.noise import Noise
from deft.priors.base import Prior
from deft.priors.context import Context
from deft.transitions import Steps
from deft.types import Axes, Signal


class WrappedPrior(Prior):
    """A prior that changes how another one is asked: another schedule, a measurement, a count of
    evaluations.

    A subclass implements `denoise` and `around`; signals, noise, context, identity, device and
    precision are those of `prior`.
    """

    def __init__(self, prior: Prior) -> None:
        super().__init__()
        self.prior = prior
        self.schedule, self.event_shape, self.value_range = (
            prior.schedule,
            prior.event_shape,
            prior.value_range,
        )
        self.differentiable = prior.differentiable

    @abstractmethod
    def around(self, prior: Prior) -> Self:
        """The same around another prior."""

    def on(self, steps: Steps) -> Prior:
        return self.around(self.prior.on(steps))

    @property
    def name(self) -> str:
        return self.prior.name

    @property
    def scale(self) -> float:  # type: ignore[override]
        """The standard deviation of x_0 under the wrapped prior."""
        return self.prior.scale

    @property
    def codec(self) -> Codec | None:
        """That of the wrapped prior."""
        return self.prior.codec

    @property
    def prediction(self) -> str:  # type: ignore[override]
        """What the wrapped network returns."""
        return self.prior.prediction

    @property
    def dimensions(self) -> Tensor:
        return self.prior.dimensions

    @property
    def event_axes(self) -> Axes:
        return self.prior.event_axes

    @property
    def device(self) -> torch.device:
        return self.prior.device

    @property
    def dtype(self) -> torch.dtype:
        return self.prior.dtype

    @property
    def network_dtype(self) -> torch.dtype:
        return self.prior.network_dtype

    @property
    def context(self) -> Context:
        return self.prior.context

    @property
    def num_observations(self) -> int:
        return self.prior.num_observations

    def identity(self) -> dict[str, object]:
        return self.prior.identity()

    def take(self, index: Sequence[int] | Tensor) -> Self:
        return self.around(self.prior.take(index))

    def given(self, **context: Tensor) -> Self:
        return self.around(self.prior.given(**context))

    def noise(self, noise: Noise, step: int, draws: int | None = None) -> Signal:
        return self.prior.noise(noise, step, draws)

    def initial(self, noise: Noise) -> Signal:
        return self.prior.initial(noise)
