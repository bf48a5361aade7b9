"""Counts of photons: Poisson's law around what is left behind an object, or around what an object
emits.

log p(y | x_0) = sum of y log rate - rate - log y!
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NoReturn, final

import torch
from torch import Tensor

from deft.codec import Codec
from deft.errors import InvalidInput
from deft.likelihoods.base import Likelihood, precise
from deft.noise import Noise
from deft.operators.base import ForwardOperator
from deft.operators.solvers import conjugate_gradients
from deft.operators.transmission import Transmission, check_counts
from deft.types import LogProb, Measurement, Signal, Times, as_index, expand, in_double

_EXACT = 2**24  # beyond, single precision rounds whole numbers


@final
class PoissonLikelihood(Likelihood):
    """Counts of photons y ~ Poisson(A(x_0)), A(x_0) = photons exp(-B x_0).

        log p(y | x_0) = sum of y log A(x_0) - A(x_0) - log y!,    gradient = B^T (A(x_0) - y)

    What guides is its expansion around the measurement, weighted least squares (Sauer & Bouman
    1993, doi:10.1109/78.193196, eq. 15)

        log p(y | x_0) ~ -1/2 sum of w (l - B x_0)^2,    w = y + 1/2,    l = log(photons / w)
        g = (r_t^2 B^T W B + I)^{-1} B^T W (l - B x_0_hat)

    where the half keeps counts of zero finite and the logarithm all but unbiased. `sigma_y` is what
    a network reads of the dose, 1 / sqrt(photons): the standard deviation of l behind nothing.
    """

    operator: Transmission
    counts = True

    def __init__(self, operator: Transmission) -> None:
        super().__init__()
        self.operator = operator
        self.register_buffer("sigma_y", operator.photons.rsqrt())

    def log_prob(self, x_0: Signal, y: Measurement) -> LogProb:
        check_counts(y)
        counts = in_double(y)
        log_rate = expand(in_double(self.operator.photons), y).log() - precise(
            self.operator.operator, x_0
        )
        return self.operator.observed(log_poisson(counts, log_rate)).flatten(1).sum(1)

    def gradient(self, x_0: Signal, y: Measurement) -> Signal:
        """grad log p(y | x_0) = B^T (A(x_0) - y)."""
        check_counts(y)
        return self.operator.operator.adjoint(-self.residual(x_0, y))

    def sample(self, x_0: Signal, noise: Noise) -> Measurement:
        """Counts, in the precision of A(x_0), or in double where there are more than 2^24, which
        single precision rounds.
        """
        return self.operator.observed(drawn_counts(self.operator(x_0), noise))

    def guidance(self, x_0_hat: Signal, r_t: Times, y: Measurement) -> Signal:
        check_counts(y)
        y = y.to(x_0_hat.dtype)
        rays, weight = self.operator.operator, self.operator.observed(y + 0.5)
        residual = (expand(self.operator.photons, y) / (y + 0.5)).log() - rays(x_0_hat)
        r2, one = expand(r_t**2, x_0_hat), torch.ones_like(expand(r_t, x_0_hat))
        typical = expand(weight.flatten(1).mean(1), x_0_hat) if len(y) else one
        g = conjugate_gradients(
            lambda u: r2 * rays.adjoint(weight * rays.linear(u)) + u,
            rays.adjoint(weight * residual),
            tolerance=math.sqrt(torch.finfo(y.dtype).eps),
            precondition=lambda u: rays.precondition(u, r2 * typical, one),
        )
        return expand(r_t, x_0_hat) * g

    def misfit(self, x_0: Signal, y: Measurement) -> LogProb:
        """The root of the mean of (y - A(x_0))^2 / A(x_0): 1 where x_0 explains y as well as the
        truth does.
        """
        rates = self.operator(x_0)
        result: LogProb = (self.residual(x_0, y) / rates.sqrt()).flatten(1).norm(
            dim=1
        ) / self.operator.count(rates).sqrt()
        return result

    def take(self, index: Sequence[int] | Tensor) -> PoissonLikelihood:
        return PoissonLikelihood(self.operator.take(index))

    def behind(self, codec: Codec) -> NoReturn:
        raise InvalidInput(
            "PoissonLikelihood",
            given=f"a prior with a {type(codec).__name__}",
            expected="a prior of what is measured: its law needs the rays themselves",
            advice="use EmissionLikelihood around an operator that says the counts",
        )


@final
class EmissionLikelihood(Likelihood):
    """Counts whose mean is what the operator says: y = gain c, c ~ Poisson(A(x_0) / gain), A(x_0)
    >= 0.

        log p(y | x_0) = sum of c log A(x_0) / gain - A(x_0) / gain - log c!

    `gain` is the value of one count, one number or one per signal. What guides is weighted least
    squares around the measurement,

        w = 1 / (gain (y + gain)),    g = (r_t^2 A^T W A + I)^{-1} A^T W (y - A x_0_hat)

    whose weights are those of the rate on average, E[1 / (c + 1)] = (1 - e^{-rate}) / rate; where A
    is not linear, A's own pull with the weighted residual. `sigma_y` is what a network reads of the
    dose, sqrt(gain): the standard deviation of y where A(x_0) = 1.
    """

    gain: Tensor
    counts = True

    def __init__(self, operator: ForwardOperator, gain: float | Tensor) -> None:
        super().__init__()
        expected = "the value of one count, > 0 and finite: one number, or one per signal"
        try:
            gain = torch.as_tensor(gain)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InvalidInput(
                "gain is the value of one count", given=gain, expected=expected
            ) from error
        if gain.is_complex() or gain.dtype == torch.bool or gain.ndim > 1:
            raise InvalidInput(
                "gain is the value of one count",
                given=f"{gain.dtype} of shape {tuple(gain.shape)}",
                expected=expected,
            )
        gain = gain.to(torch.get_default_dtype()).reshape(-1)
        good = (gain > 0) & gain.isfinite()
        if not bool(good.all()):
            raise InvalidInput(
                "gain is the value of one count", given=float(gain[~good][0]), expected=expected
            )
        self.operator = operator
        self.register_buffer("gain", gain)
        self.register_buffer("sigma_y", gain.sqrt())

    def log_prob(self, x_0: Signal, y: Measurement) -> LogProb:
        """log p(y | x_0); -inf where a rate is negative, or zero under a count."""
        check_counts(y)
        gain = expand(in_double(self.gain), y)
        counts, rate = in_double(y) / gain, precise(self.operator, x_0) / gain
        positive = rate > 0
        log_prob = log_poisson(counts, torch.where(positive, rate, torch.ones_like(rate)).log())
        nothing = torch.where((rate == 0) & (counts == 0), 0.0, -math.inf).to(log_prob)
        log_prob = torch.where(positive, log_prob, nothing - rate.clamp(min=0))
        return self.operator.observed(log_prob).flatten(1).sum(1)

    def sample(self, x_0: Signal, noise: Noise) -> Measurement:
        rates = self.operator(x_0)
        if bool((rates < 0).any()):
            raise InvalidInput(
                f"the mean of a count is >= 0; the operator gives {rates.min().item():g}. Measure "
                "signals within the range that it expects."
            )
        gain = expand(self.gain, rates)
        return self.operator.observed(gain * drawn_counts(rates / gain, noise))

    def guidance(self, x_0_hat: Signal, r_t: Times, y: Measurement) -> Signal:
        check_counts(y)
        y = y.to(x_0_hat.dtype)
        operator, gain = self.operator, expand(self.gain, y)
        weight, residual = operator.observed(1 / (gain * (y + gain))), self.residual(x_0_hat, y)
        return expand(r_t, x_0_hat) * operator.weighted_pull(x_0_hat, residual, weight, r_t**2)

    def misfit(self, x_0: Signal, y: Measurement) -> LogProb:
        """The root of the mean of (y - A(x_0))^2 / (gain A(x_0)), with rates of less than one count
        taken as one: about 1 for the truth.
        """
        rates = self.operator(x_0)
        gain = expand(self.gain, rates)
        variance = gain * torch.maximum(rates, gain)
        result: LogProb = (self.residual(x_0, y) / variance.sqrt()).flatten(1).norm(
            dim=1
        ) / self.operator.count(rates).sqrt()
        return result

    def take(self, index: Sequence[int] | Tensor) -> EmissionLikelihood:
        index = as_index(index)
        gain = self.gain if len(self.gain) == 1 else self.gain[index.to(self.gain.device)]
        return EmissionLikelihood(self.operator.take(index), gain)


def log_poisson(counts: Tensor, log_rate: Tensor) -> Tensor:
    """log of Poisson's law, entry by entry, without the cancellation of y log(rate) - rate - log
    y!.

        -D - S - log(2 pi y) / 2,    D = y log(y / rate) - (y - rate),
        S = log y! - (y log y - y + log(2 pi y) / 2)

    Loader 2000, Fast and accurate computation of binomial probabilities. Its error is about 1e-15 y
    |y / rate - 1| per entry, of double precision.
    """
    rate = log_rate.exp()
    some = counts > 0
    y = torch.where(some, counts, torch.ones_like(counts))
    off = (y - rate) / rate.clamp(min=torch.finfo(rate.dtype).tiny)
    near = off.abs() < 0.5
    log_ratio = torch.where(
        near, torch.log1p(torch.where(near, off, torch.zeros_like(off))), y.log() - log_rate
    )
    log_prob = (
        -(y * log_ratio - (y - rate)) - _log_factorial_rest(y) - 0.5 * (2 * math.pi * y).log()
    )
    return torch.where(some, log_prob, -rate)


def _log_factorial_rest(y: Tensor) -> Tensor:
    """log y! - (y log y - y + log(2 pi y) / 2), by Stirling's series from 16 on: its next term is
    below 3e-12 there.
    """
    many = y >= 16
    x, few = torch.where(many, y, torch.full_like(y, 16)), torch.where(many, torch.ones_like(y), y)
    series = (1 - (1 / 30 - 1 / (105 * x**2)) / x**2) / (12 * x)
    return torch.where(
        many,
        series,
        torch.lgamma(few + 1) - (few * few.log() - few + 0.5 * (2 * math.pi * few).log()),
    )


def drawn_counts(rates: Tensor, noise: Noise) -> Tensor:
    """Poisson draws, each signal from a generator of its own: in the precision of the rates, or in
    double where one is beyond 2^24, which single precision rounds.
    """
    if not bool(((rates >= 0) & rates.isfinite()).all()):
        bad = rates[~((rates >= 0) & rates.isfinite())][0]
        raise InvalidInput(
            "the rate of a count",
            given=float(bad),
            expected="a finite number >= 0",
            advice="look at the signals and their units",
        )
    draws = []
    for rate, generator in zip(rates.detach().cpu(), noise.generators(0), strict=True):
        beyond = bool((rate > _EXACT).any())
        draws.append(torch.poisson(rate.double() if beyond else rate, generator=generator))
    if not draws:
        return torch.zeros_like(rates)
    wide = any(draw.dtype == torch.float64 for draw in draws) and rates.device.type != "mps"
    return torch.stack([draw.double() for draw in draws] if wide else draws).to(
        rates.device, torch.float64 if wide else rates.dtype
    )
