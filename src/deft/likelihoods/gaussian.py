"""Gaussian noise.

y = A(x_0) + sigma_y eps,
log p(y | x_0) = -||y - A(x_0)||^2 / (2 sigma_y^2) - m log(sigma_y sqrt(2 pi))

Noise that differs between the entries of y, or is correlated, n ~ N(0, C), is made white: with W of
`deft.operators.whitening`, W C W^T = s^2 I,

    W y = W A(x_0) + s eps,    log p(y | x_0) = log p(W y | x_0) + log |det W|

and an `Observation` holds W y and W A, so that every method reads one number, s. For linear
operators that is exact; log |det W| stays with the likelihood, so that evidence is that of y.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.likelihoods.base import Likelihood, precise
from deft.noise import Noise
from deft.operators import whitening
from deft.operators.base import ForwardOperator, LinearOperator
from deft.types import LogProb, Measurement, Signal, Times, as_index, expand, in_double, norm


@final
class GaussianLikelihood(Likelihood):
    """y = A(x_0) + sigma_y eps; sigma_y in the units of y: one number >= 0 for all signals or one
    per signal; or a tensor of y's shape, (batch or 1, *measurement), of one number > 0 for each
    entry; or a linear operator, the covariance of the noise between the entries of y.

    Entries that the operator does not observe have no noise, whatever sigma_y says of them (NaN,
    say). With a covariance `sigma_y` is NaN until an `Observation` knows the shape of y. Raises
    `InvalidInput` for other numbers, and for what is no covariance.
    """

    log_volume: Tensor

    def __init__(self, operator: ForwardOperator, sigma_y: float | Tensor | LinearOperator) -> None:
        super().__init__()
        self.operator = operator
        self.white: whitening.Whitening | None = None
        self.covariance: LinearOperator | None = None
        if isinstance(sigma_y, LinearOperator):
            self.covariance, level = sigma_y, torch.full((1,), torch.nan)
        elif isinstance(sigma_y, Tensor) and sigma_y.ndim > 1:
            self.white, level = _of_entries(operator, sigma_y)
        else:
            level = _levels(sigma_y)
        self.register_buffer("sigma_y", level)
        self.register_buffer("log_volume", torch.zeros(1))  # of W, where y is W times another

    def plain(self, y: Measurement) -> tuple[Measurement, GaussianLikelihood]:
        """W y, and the likelihood of W A with the standard deviation s for each signal; itself
        where one standard deviation was given.
        """
        white, level = self._white(tuple(y.shape[1:])), self.sigma_y
        if white is None:
            return y, self
        if self.covariance is not None:
            level = level.new_tensor([self._level])
            _check_complete(self.operator, y)
        if white.signals not in (1, len(y)):
            raise InvalidInput(
                "sigma_y",
                given=f"standard deviations of {white.signals} measurements",
                expected=f"those of {len(y)}, or of one for all",
            )
        white = white.repeat(1).to(y.device)  # a copy: `to` moves in place
        inner = self.operator.observed(white(y))
        made = GaussianLikelihood(self.operator.whitened(white), level.to(y.device))
        made.log_volume = white.log_volume(self.operator.observed(torch.ones_like(y)))
        return inner, made

    def log_prob(self, x_0: Signal, y: Measurement) -> LogProb:
        if self._white(tuple(y.shape[1:])) is not None:
            inner, likelihood = self.plain(y)
            return likelihood.log_prob(x_0, inner)
        if bool((self.sigma_y == 0).any()):
            raise InvalidInput(
                "a measurement without noise (sigma_y = 0) has no density; give a sigma_y > 0."
            )
        sigma_y, m = in_double(self.sigma_y), in_double(self.operator.count(y))
        residual = self.operator.difference(in_double(y), precise(self.operator, x_0))
        return (
            in_double(self.log_volume)
            - 0.5 * (norm(residual) / sigma_y) ** 2
            - m * (sigma_y.log() + 0.5 * math.log(2 * math.pi))
        )

    def sample(self, x_0: Signal, noise: Noise) -> Measurement:
        clean = self.operator(x_0)
        drawn = noise.to(clean.device, clean.dtype).normal(0, clean.shape[1:])
        white = self._white(tuple(clean.shape[1:]))
        level = self.sigma_y if self.covariance is None else self.sigma_y.new_tensor([self._level])
        drawn = expand(level.to(clean.device), clean) * drawn
        return self.operator.observed(
            clean + (drawn if white is None else white.repeat(1).to(clean.device).inverse(drawn))
        )

    def guidance(self, x_0_hat: Signal, r_t: Times, y: Measurement) -> Signal:
        inner, white = self.plain(y)
        s2 = white.sigma_y**2
        return expand(r_t, x_0_hat) * white.operator.guided(x_0_hat, inner, r_t**2, s2)

    def misfit(self, x_0: Signal, y: Measurement) -> LogProb:
        """||y - A x_0|| / (sigma_y sqrt(m)), 1 where x_0 explains y as well as the truth does;
        at sigma_y = 0 the residual ||y - A x_0|| / sqrt(m). Of the whitened measurement, where
        noise differs or is correlated.
        """
        inner, likelihood = self.plain(y)
        level = likelihood.sigma_y
        per_entry = norm(likelihood.residual(x_0, inner)) / self.operator.count(y).sqrt()
        return per_entry / torch.where(level > 0, level, torch.ones_like(level))

    def take(self, index: Sequence[int] | Tensor) -> GaussianLikelihood:
        index = as_index(index)
        level = self.sigma_y
        level = level if len(level) == 1 else level[index.to(level.device)]
        other = GaussianLikelihood(
            self.operator.take(index), level if self.covariance is None else self.covariance
        )
        volume = self.log_volume
        other.log_volume = volume if len(volume) == 1 else volume[index.to(volume.device)]
        if self.white is not None:
            other.white, other._level = self.white.take(index), self._level
        return other

    _level: float = math.nan

    def _white(self, shape: tuple[int, ...]) -> whitening.Whitening | None:
        if self.covariance is not None and self.white is None:
            self.white, self._level = whitening.of_covariance(self.covariance, shape)
        return self.white


def _of_entries(
    operator: ForwardOperator, sigma_y: Tensor
) -> tuple[whitening.EntryWeights, Tensor]:
    """W and s of a standard deviation for each entry."""
    if not sigma_y.is_floating_point():
        raise InvalidInput(
            "sigma_y", given=str(sigma_y.dtype), expected="floating-point standard deviations"
        )
    n = max(operator.signals, len(sigma_y))
    whole = sigma_y.expand(n, *sigma_y.shape[1:]) if len(sigma_y) == 1 else sigma_y
    return whitening.of_deviations(whole, operator.observed(torch.ones_like(whole)))


def _levels(sigma_y: object) -> Tensor:
    """One standard deviation for all signals, or one per signal."""
    expected = (
        "a standard deviation >= 0 in the units of y, finite: one number, one per signal, or a "
        "tensor of y's shape, one for each entry"
    )
    try:
        level = torch.as_tensor(sigma_y)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidInput("sigma_y", given=sigma_y, expected=expected) from error
    if level.is_complex() or level.dtype == torch.bool or level.ndim > 1:
        raise InvalidInput(
            "sigma_y",
            given=f"{level.dtype} of shape {tuple(level.shape)}",
            expected=expected,
        )
    level = level.to(torch.get_default_dtype()).reshape(-1)
    good = (level >= 0) & level.isfinite()
    if not bool(good.all()):
        raise InvalidInput(
            "sigma_y",
            given=float(level[~good][0]),
            expected=expected,
            advice="use 0 for no noise",
        )
    return level


def _check_complete(operator: ForwardOperator, y: Measurement) -> None:
    """Raises where a covariance would run over entries that are no measurements."""
    if bool((operator.observed(torch.ones_like(y)) == 0).any()):
        raise InvalidInput(
            "sigma_y",
            given=f"a covariance beside {type(operator).__name__}, which leaves entries out",
            expected="an operator all of whose entries are measured",
            advice="write the measured entries as a Matrix, with the covariance between them",
        )
