"""Problems: distributions over operators and noise levels, from which training and tests draw their observations.

A ~ p(A),  sigma_y ~ p(sigma_y),  y = A(x_0) + sigma_y eps
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import final

from torch import Tensor

from deft.errors import InvalidInput
from deft.likelihoods import GaussianLikelihood, Observation
from deft.noise import Noise
from deft.operators.base import ForwardOperator
from deft.types import Signal

NoiseLevel = float | tuple[float, float]


class Problem(ABC):
    """A distribution over operators and noise levels.

    `sigma_y` is the standard deviation of the measurement noise in the units of y: one number, or (low, high), between which each signal's
    own is drawn log-uniformly. A subclass draws the operator.
    """

    def __init__(self, sigma_y: NoiseLevel = 0.0) -> None:
        self.sigma_y: NoiseLevel = tuple(sigma_y) if isinstance(sigma_y, (tuple, list)) else float(sigma_y)
        low = self.sigma_y[0] if isinstance(self.sigma_y, tuple) else self.sigma_y
        if low < 0:
            raise InvalidInput(f"sigma_y is a standard deviation in the units of y and must be >= 0; got {low:g}.")
        if isinstance(self.sigma_y, tuple) and not 0 < self.sigma_y[0] <= self.sigma_y[1]:
            raise InvalidInput(f"a range of sigma_y is drawn log-uniformly and needs 0 < low <= high; got {self.sigma_y}.")

    @abstractmethod
    def operator(self, x_0: Signal, noise: Noise) -> ForwardOperator:
        """A draw of the operator for each signal; x_0 gives shape and device."""

    @abstractmethod
    def card(self) -> dict[str, object]:
        """The problem as `class_path` and `init_args`: what a checkpoint records, and what a YAML file holds."""

    def draw(self, x_0: Signal, noise: Noise) -> Observation:
        """Observations of clean signals, each with its own operator and noise level."""
        likelihood = GaussianLikelihood(self.operator(x_0, noise.stream(1)).to(x_0.device), self._noise_level(noise.stream(2)).to(x_0))
        return Observation(likelihood.sample(x_0, noise.stream(3)), likelihood)

    def _noise_level(self, noise: Noise) -> Tensor:
        u = noise.uniform(0)
        if not isinstance(self.sigma_y, tuple):
            return 0 * u + self.sigma_y
        low, high = self.sigma_y
        return low * (u * math.log(high / low)).exp()


@final
class Fixed(Problem):
    """One operator for all signals: a user's own."""

    def __init__(self, operator: ForwardOperator, sigma_y: NoiseLevel = 0.0) -> None:
        super().__init__(sigma_y)
        self._operator = operator

    def operator(self, x_0: Signal, noise: Noise) -> ForwardOperator:
        return self._operator

    def card(self) -> dict[str, object]:
        operator = type(self._operator)
        return {
            "class_path": "deft.problems.Fixed",
            "init_args": {"operator": f"{operator.__module__}.{operator.__qualname__}", "sigma_y": self.sigma_y},
        }
