"""What every likelihood does."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from deft.codec import Codec
from deft.errors import InvalidInput
from deft.noise import Noise
from deft.operators.base import ForwardOperator
from deft.operators.composed import composed
from deft.types import LogProb, Measurement, Signal, Times, in_double


class Likelihood(nn.Module, ABC):
    """p(y | x_0): a noise model around an operator. `counts` says that y counts, so that its digits
    are kept.
    """

    measures: bool = True  # whether y is a measurement, which a residual is of

    counts = False

    operator: ForwardOperator
    sigma_y: Tensor

    @abstractmethod
    def log_prob(self, x_0: Signal, y: Measurement) -> LogProb:
        """log p(y | x_0), in double precision."""

    @abstractmethod
    def sample(self, x_0: Signal, noise: Noise) -> Measurement:
        """A draw of y given x_0."""

    @abstractmethod
    def guidance(self, x_0_hat: Signal, r_t: Times, y: Measurement) -> Signal:
        """r_t g: the direction in which the measurement pulls x_0_hat, whose uncertainty is r_t; of
        order one.
        """

    @abstractmethod
    def take(self, index: Sequence[int] | Tensor) -> Self:
        """The likelihood of the signals `index`."""

    @property
    def has_misfit(self) -> bool:
        """Whether `misfit` is defined."""
        return type(self).misfit is not Likelihood.misfit

    def misfit(self, x_0: Signal, y: Measurement) -> LogProb:
        """How far x_0 is from explaining y, in units in which the truth is at 1. Raises
        InvalidInput where that is not defined.
        """
        raise InvalidInput(f"misfit is not defined for {type(self).__name__}.")

    def residual(self, x_0: Signal, y: Measurement) -> Measurement:
        """y - A(x_0), zero where nothing is measured; in the precision of x_0, with the difference
        taken in that of y where it is higher.
        """
        predicted = self.operator(x_0)
        if predicted.shape != y.shape:
            raise InvalidInput(
                "y",
                given=f"the shape {tuple(y.shape)}",
                expected=f"that of A(x_0), {tuple(predicted.shape)}",
            )
        return self.operator.difference(y, predicted).to(x_0.dtype)

    def plain(self, y: Measurement) -> tuple[Measurement, Likelihood]:
        """The same measurement with one standard deviation for all entries of a signal, which is
        what methods read; itself by default.
        """
        return y, self

    def behind(self, codec: Codec) -> Self:
        """The same noise around the operator behind a codec, which measures what it decodes, with
        what the codec leaves out (`codec.error`) as noise beside it; itself where it is behind it.
        Where y counts, or is no measurement, `sigma_y` is no standard deviation of y, and stays.
        Raises `InvalidInput` where the law of the noise needs its own operator.

            y - A(D(z)) = (A(x) - A(D(z))) + sigma_y eps,    variance error^2 + sigma_y^2
        """
        if getattr(self.operator, "codec", None) is codec:
            return self
        other = self.around(composed(self.operator, codec))
        if codec.error and self.measures and not self.counts:
            level = (self.sigma_y**2 + codec.error**2).sqrt()
            other._buffers = {**self._buffers, "sigma_y": level}
        return other

    def around(self, operator: ForwardOperator) -> Self:
        """The same noise around another operator."""
        other = copy.copy(self)
        other._modules = dict(self._modules)
        other.operator = operator
        return other

    def in_dtype(self, signals: int, dtype: torch.dtype) -> Self:
        """The same likelihood of so many signals, whose parameters and those of its operator are in
        another precision; this one stays as it is.
        """
        other = copy.copy(self.take(range(signals)))
        other._modules = dict(other._modules)
        other.operator = _in_dtype(other.operator, dtype)
        other._buffers = {name: _cast(value, dtype) for name, value in other._buffers.items()}
        return other


def _in_dtype(operator: ForwardOperator, dtype: torch.dtype) -> ForwardOperator:
    other = copy.copy(operator)
    other._buffers = {name: _cast(value, dtype) for name, value in operator._buffers.items()}
    parts = operator._modules.items()
    other._modules = {
        name: _in_dtype(part, dtype) if isinstance(part, ForwardOperator) else part
        for name, part in parts
    }
    return other


def _cast(value: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    return value.to(dtype) if value is not None and value.is_floating_point() else value


def precise(operator: ForwardOperator, x_0: Signal) -> Measurement:
    """A(x_0) in double precision; computed in it where the operator can."""
    return in_double(operator(in_double(x_0) if operator.any_precision else x_0))
