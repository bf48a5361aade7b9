"""Likelihoods p(y | x_0): a noise model around a forward operator, and the observation that carries both.

    y = A(x_0) + sigma_y eps,    log p(y | x_0) = -||y - A(x_0)||^2 / (2 sigma_y^2) - m log(sigma_y sqrt(2 pi))

What a learned h-transform reads of it is the guidance

    r_t g,    g = A^T (r_t^2 A A^T + sigma_y^2 I)^{-1} (y - A x_0_hat),    r_t^2 = s^2 sigma_t^2 / (alpha_t^2 s^2 + sigma_t^2)

with s the standard deviation of x_0: for a white Gaussian prior E[x_0 | x_t, y] - E[x_0 | x_t] is exactly r_t^2 g, and r_t g has a standard
deviation of at most 1 at every t and sigma_y, 0 included. An operator that is not linear says itself what stands in place of g (`ForwardOperator.pull`).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self, final

import torch
from torch import Tensor, nn

from deft.errors import InvalidInput
from deft.noise import Noise
from deft.operators.base import ForwardOperator, LinearOperator, conjugate_gradients
from deft.operators.transmission import Transmission, check_counts
from deft.types import LogProb, Measurement, Signal, Times, as_index, expand, norm


class Likelihood(nn.Module, ABC):
    """p(y | x_0): a noise model around an operator."""

    operator: ForwardOperator
    sigma_y: Tensor

    @abstractmethod
    def log_prob(self, x_0: Signal, y: Measurement) -> LogProb:
        """log p(y | x_0)."""

    @abstractmethod
    def sample(self, x_0: Signal, noise: Noise) -> Measurement:
        """A draw of y given x_0."""

    @abstractmethod
    def guidance(self, x_0_hat: Signal, r_t: Times, y: Measurement) -> Signal:
        """r_t g: the direction in which the measurement pulls x_0_hat, whose uncertainty is r_t; of order one."""

    @abstractmethod
    def take(self, index: Sequence[int] | Tensor) -> Self:
        """The likelihood of the signals `index`."""

    def misfit(self, x_0: Signal, y: Measurement) -> LogProb:
        """How far x_0 is from explaining y, in units in which the truth is at 1. Raises InvalidInput where that is not defined."""
        raise InvalidInput(f"misfit is not defined for {type(self).__name__}.")

    def residual(self, x_0: Signal, y: Measurement) -> Measurement:
        """y - A(x_0), zero where nothing is measured."""
        return self.operator.observed(y - self.operator(x_0))


@final
class GaussianLikelihood(Likelihood):
    """y = A(x_0) + sigma_y eps; sigma_y >= 0, in the units of y, one number for all signals or one per signal."""

    def __init__(self, operator: ForwardOperator, sigma_y: float | Tensor) -> None:
        super().__init__()
        sigma_y = torch.as_tensor(sigma_y, dtype=torch.get_default_dtype()).reshape(-1)
        if not bool((sigma_y >= 0).all()):
            raise InvalidInput(f"sigma_y is a standard deviation in the units of y and must be >= 0; got {sigma_y.min().item():g}.")
        self.operator = operator
        self.register_buffer("sigma_y", sigma_y)

    def log_prob(self, x_0: Signal, y: Measurement) -> LogProb:
        if bool((self.sigma_y == 0).any()):
            raise InvalidInput("a measurement without noise (sigma_y = 0) has no density; give a sigma_y > 0.")
        m = self.operator.count(y)
        return -0.5 * (norm(self.residual(x_0, y)) / self.sigma_y) ** 2 - m * (self.sigma_y.log() + 0.5 * math.log(2 * math.pi))

    def sample(self, x_0: Signal, noise: Noise) -> Measurement:
        clean = self.operator(x_0)
        return self.operator.observed(clean + expand(self.sigma_y, clean) * noise.to(clean.device, clean.dtype).normal(0, clean.shape[1:]))

    def guidance(self, x_0_hat: Signal, r_t: Times, y: Measurement) -> Signal:
        return expand(r_t, x_0_hat) * self.operator.pull(x_0_hat, self.residual(x_0_hat, y), r_t**2, self.sigma_y**2)

    def misfit(self, x_0: Signal, y: Measurement) -> LogProb:
        """||y - A x_0|| / (sigma_y sqrt(m)), 1 where x_0 explains y as well as the truth does; at sigma_y = 0 the residual ||y - A x_0|| / sqrt(m)."""
        per_entry = norm(self.residual(x_0, y)) / self.operator.count(y).sqrt()
        return per_entry / torch.where(self.sigma_y > 0, self.sigma_y, torch.ones_like(self.sigma_y))

    def take(self, index: Sequence[int] | Tensor) -> GaussianLikelihood:
        index = as_index(index)
        sigma_y = self.sigma_y if len(self.sigma_y) == 1 else self.sigma_y[index.to(self.sigma_y.device)]
        return GaussianLikelihood(self.operator.take(index), sigma_y)


@final
class PoissonLikelihood(Likelihood):
    """Counts of photons y ~ Poisson(A(x_0)), A(x_0) = photons exp(-B x_0).

        log p(y | x_0) = sum of y log A(x_0) - A(x_0) - log y!,    gradient = B^T (A(x_0) - y)

    What guides is its expansion around the measurement, weighted least squares (Sauer & Bouman 1993, doi:10.1109/78.193196, eq. 15)

        log p(y | x_0) ~ -1/2 sum of w (l - B x_0)^2,    w = y + 1/2,    l = log(photons / w)
        g = (r_t^2 B^T W B + I)^{-1} B^T W (l - B x_0_hat)

    where the half keeps counts of zero finite and the logarithm all but unbiased. `sigma_y` is what a network reads of the dose, 1 / sqrt(photons): the
    standard deviation of l behind nothing.
    """

    operator: Transmission

    def __init__(self, operator: Transmission) -> None:
        super().__init__()
        self.operator = operator
        self.register_buffer("sigma_y", operator.photons.rsqrt())

    def log_prob(self, x_0: Signal, y: Measurement) -> LogProb:
        check_counts(y)
        integrals = self.operator.operator(x_0)
        log_rate = expand(self.operator.photons, y).log() - integrals
        return self.operator.observed(y * log_rate - log_rate.exp() - torch.lgamma(y + 1)).flatten(1).sum(1)

    def gradient(self, x_0: Signal, y: Measurement) -> Signal:
        """grad log p(y | x_0) = B^T (A(x_0) - y)."""
        check_counts(y)
        return self.operator.operator.adjoint(self.operator.observed(self.operator(x_0) - y))

    def sample(self, x_0: Signal, noise: Noise) -> Measurement:
        rates = self.operator(x_0)
        draws = [torch.poisson(rate, generator=g) for rate, g in zip(rates.detach().cpu(), noise.generators(0), strict=True)]
        return self.operator.observed(torch.stack(draws).to(rates) if draws else torch.zeros_like(rates))

    def guidance(self, x_0_hat: Signal, r_t: Times, y: Measurement) -> Signal:
        check_counts(y)
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
        """The root of the mean of (y - A(x_0))^2 / A(x_0): 1 where x_0 explains y as well as the truth does."""
        rates = self.operator(x_0)
        return self.operator.observed((y - rates) / rates.sqrt()).flatten(1).norm(dim=1) / self.operator.count(y).sqrt()

    def take(self, index: Sequence[int] | Tensor) -> PoissonLikelihood:
        return PoissonLikelihood(self.operator.take(index))


@final
class EmissionLikelihood(Likelihood):
    """Counts whose mean is what the operator says: y = gain c, c ~ Poisson(A(x_0) / gain), A(x_0) >= 0.

        log p(y | x_0) = sum of c log A(x_0) / gain - A(x_0) / gain - log c!

    `gain` is the value of one count, one number or one per signal. What guides is weighted least squares around the measurement,

        w = 1 / (gain (y + gain)),    g = (r_t^2 A^T W A + I)^{-1} A^T W (y - A x_0_hat)

    whose weights are those of the rate on average, E[1 / (c + 1)] = (1 - e^{-rate}) / rate; where A is not linear, A's own pull with the weighted residual. `sigma_y` is
    what a network reads of the dose, sqrt(gain): the standard deviation of y where A(x_0) = 1.
    """

    gain: Tensor

    def __init__(self, operator: ForwardOperator, gain: float | Tensor) -> None:
        super().__init__()
        gain = torch.as_tensor(gain, dtype=torch.get_default_dtype()).reshape(-1)
        if not bool((gain > 0).all() & gain.isfinite().all()):
            raise InvalidInput(f"gain is the value of one count, > 0 and finite; got {gain.min().item():g}.")
        self.operator = operator
        self.register_buffer("gain", gain)
        self.register_buffer("sigma_y", gain.sqrt())

    def log_prob(self, x_0: Signal, y: Measurement) -> LogProb:
        """log p(y | x_0); -inf where a rate is negative, or zero under a count."""
        check_counts(y)
        gain = expand(self.gain, y)
        counts, rate = y / gain, self.operator(x_0) / gain
        log_prob = torch.where(rate >= 0, torch.xlogy(counts, rate.clamp(min=0)) - rate - torch.lgamma(counts + 1), -math.inf)
        return self.operator.observed(log_prob).flatten(1).sum(1)

    def sample(self, x_0: Signal, noise: Noise) -> Measurement:
        rates = self.operator(x_0)
        if bool((rates < 0).any()):
            raise InvalidInput(
                f"the mean of a count is >= 0; the operator gives {rates.min().item():g}. Measure signals within the range that it expects."
            )
        gain = expand(self.gain, rates)
        draws = [torch.poisson(rate, generator=g) for rate, g in zip((rates / gain).detach().cpu(), noise.generators(0), strict=True)]
        return self.operator.observed(gain * torch.stack(draws).to(rates) if draws else torch.zeros_like(rates))

    def guidance(self, x_0_hat: Signal, r_t: Times, y: Measurement) -> Signal:
        check_counts(y)
        operator, gain = self.operator, expand(self.gain, y)
        weight, residual = operator.observed(1 / (gain * (y + gain))), self.residual(x_0_hat, y)
        typical = weight.flatten(1).sum(1) / operator.count(y).clamp(min=1) if len(y) else weight.new_ones(1)
        if not isinstance(operator, LinearOperator):
            pull = operator.pull(x_0_hat, residual * weight / expand(typical, y), r_t**2, 1 / typical)
            return expand(r_t, x_0_hat) * pull
        r2, one = expand(r_t**2, x_0_hat), torch.ones_like(expand(r_t, x_0_hat))
        g = conjugate_gradients(
            lambda u: r2 * operator.adjoint(weight * operator.linear(u)) + u,
            operator.adjoint(weight * residual),
            tolerance=math.sqrt(torch.finfo(y.dtype).eps),
            precondition=lambda u: operator.precondition(u, r2 * expand(typical, x_0_hat), one),
        )
        return expand(r_t, x_0_hat) * g

    def misfit(self, x_0: Signal, y: Measurement) -> LogProb:
        """The root of the mean of (y - A(x_0))^2 / (gain A(x_0)), with rates of less than one count taken as one: about 1 for the truth."""
        gain = expand(self.gain, y)
        variance = gain * torch.maximum(self.operator(x_0), gain)
        return (self.residual(x_0, y) / variance.sqrt()).flatten(1).norm(dim=1) / self.operator.count(y).sqrt()

    def take(self, index: Sequence[int] | Tensor) -> EmissionLikelihood:
        index = as_index(index)
        gain = self.gain if len(self.gain) == 1 else self.gain[index.to(self.gain.device)]
        return EmissionLikelihood(self.operator.take(index), gain)


@final
@dataclass(frozen=True)
class Observation:
    """What was measured and how: y and its likelihood, batched together."""

    y: Measurement
    likelihood: Likelihood

    def __len__(self) -> int:
        return len(self.y)

    @property
    def operator(self) -> ForwardOperator:
        """The forward operator of the likelihood."""
        return self.likelihood.operator

    @property
    def sigma_y(self) -> Tensor:
        """The standard deviation of the noise: (1,) or (batch,)."""
        return self.likelihood.sigma_y

    def residual(self, x_0: Signal) -> Measurement:
        """y - A(x_0)."""
        return self.likelihood.residual(x_0, self.y)

    @cached_property
    def lifted(self) -> Signal:
        """y as a signal, `operator.lift(y)`: computed once, for it may be a reconstruction by itself, and kept by `take`, `repeat` and `to`."""
        with torch.inference_mode(False), torch.no_grad():
            return self.operator.lift(self.y)

    def with_lift(self, lifted: Signal) -> Observation:
        """The same observation, whose lift is known: one that was kept, or a reconstruction of one's own."""
        same = Observation(self.y, self.likelihood)
        vars(same)["lifted"] = lifted
        return same

    def take(self, index: Sequence[int] | Tensor) -> Observation:
        """The observations `index`; an index may come twice."""
        index = as_index(index)
        taken = Observation(self.y[index.to(self.y.device)], self.likelihood.take(index))
        return taken.with_lift(self.lifted[index.to(self.y.device)]) if "lifted" in vars(self) else taken

    def repeat(self, n: int) -> Observation:
        """Each observation, `n` times side by side."""
        return self.take(torch.arange(len(self)).repeat_interleave(n))

    def to(self, device: torch.device | str) -> Observation:
        """The same observation on another device; this one stays where it is."""
        moved = Observation(self.y.to(device), self.likelihood.take(range(len(self))).to(device))
        return moved.with_lift(self.lifted.to(device)) if "lifted" in vars(self) else moved
