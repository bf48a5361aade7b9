"""Distributions over operators and noise levels.

A ~ p(A),    sigma_y ~ p(sigma_y),    y = A(x_0) + sigma_y eps
"""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Collection

import torch
from torch import Tensor

from deft import checks
from deft.errors import InvalidInput, nearest_names
from deft.likelihoods import GaussianLikelihood, Likelihood, Observation
from deft.noise import Noise
from deft.operators.base import ForwardOperator
from deft.types import Measurement, Signal

NoiseLevel = float | tuple[float, float]
_PROBED = 3  # draws of an operator that are compared


class Problem(ABC):
    """A distribution over operators and noise levels.

    `sigma_y` is the standard deviation of the measurement noise in the units of y: one number, or
    (low, high), between which each signal's own is drawn log-uniformly. A subclass draws the
    operator. `window`, in Hounsfield units, is what the prior's [-1, 1] means where a problem
    depends on it.
    """

    window: tuple[float, float] | None = None

    def __init__(self, sigma_y: NoiseLevel = 0.0) -> None:
        self.sigma_y: NoiseLevel = noise_level("sigma_y", sigma_y)

    @abstractmethod
    def operator(self, x_0: Signal, noise: Noise) -> ForwardOperator:
        """A draw of the operator for each signal; x_0 gives shape and device."""

    @abstractmethod
    def card(self) -> dict[str, object]:
        """The problem as plain values (deft.storage.cards): what a checkpoint records."""

    def draw(self, x_0: Signal, noise: Noise) -> Observation:
        """Observations of clean signals, each with its own operator and noise level."""
        likelihood = GaussianLikelihood(
            self.operator(x_0, noise.stream(1)).to(x_0.device),
            self._noise_level(noise.stream(2)).to(x_0),
        )
        return Observation(likelihood.sample(x_0, noise.stream(3)), likelihood)

    def shared_operator(self, like: Signal) -> ForwardOperator | None:
        """The operator of these signals where it is the same whatever the seed; None where it is
        drawn.
        """
        probe = Noise([0], like.device, like.dtype).normal(0, like.shape[1:])
        first, *others = (
            self.operator(probe, Noise([seed]))(probe) for seed in range(1, 1 + _PROBED)
        )
        if any(y.shape != first.shape or not torch.equal(y, first) for y in others):
            return None
        return self.operator(like, Noise(range(len(like))))

    def likelihood(
        self, operator: ForwardOperator, y: Measurement, sigma_y: float | None = None
    ) -> Likelihood:
        """The likelihood of measurements from elsewhere; sigma_y in the units of y, None: the
        problem's own. Raises InvalidInput where that is a range.
        """
        level = self.sigma_y if sigma_y is None else sigma_y
        if isinstance(level, tuple):
            raise InvalidInput(
                f"the problem draws sigma_y between {level[0]:g} and {level[1]:g}; say that of "
                "these measurements."
            )
        for doubt in operator.doubts(y):
            warnings.warn(doubt, stacklevel=2)
        if isinstance(level, (int, float)):
            level = checks.non_negative(
                "sigma_y",
                level,
                "the standard deviation of the noise in the units of y",
                "use 0 for no noise",
            )
        return GaussianLikelihood(operator, level)

    def _noise_level(self, noise: Noise) -> Tensor:
        return log_uniform(self.sigma_y, noise.uniform(0))


def noise_level(
    what: str, level: object, meaning: str = "the standard deviation of the noise in the units of y"
) -> NoiseLevel:
    """A standard deviation >= 0, or the range between whose ends it is drawn log-uniformly, 0 < low
    <= high; all finite.
    """
    if isinstance(level, (tuple, list)):
        return checks.positive_range(
            what,
            level,
            f"{meaning}, drawn log-uniformly",
            "give one number for a level that is the same for all",
        )
    return checks.non_negative(
        what, level, meaning, "use 0 for no noise, or (low, high) for levels drawn between them"
    )


def log_uniform(level: NoiseLevel, u: Tensor) -> Tensor:
    """One number for each u in [0, 1), log-uniform between the ends of a range."""
    if not isinstance(level, tuple):
        return 0 * u + level
    low, high = level
    return low * (u * math.log(high / low)).exp()


def unknown(argument: str, name: str, known: Collection[str], advice: str = "") -> InvalidInput:
    """What to raise for a name that is none of the known ones; the nearest ones, or the advice."""
    near = nearest_names(name, list(known)).removeprefix("; ")
    return InvalidInput(
        argument, given=name, expected=f"one of {', '.join(known)}", advice=near or advice
    )
