"""sigma_y, where nobody knows it: estimated from y and samples of the posterior.

    d/d(sigma_y^2) log p(y | sigma_y)
        = (E[ ||y - A x_0||^2 | y, sigma_y ] - m sigma_y^2) / (2 sigma_y^4)

by Fisher's identity, so that the maximum of the likelihood is where the mean squared misfit of the
posterior's own samples is 1: the fixed point of EM (Dempster, Laird, Rubin 1977). EM is slow where
the prior leaves more open than the noise; here the root is looked for on a grid of log sigma_y.

An h-transform that is not exact has another misfit than 1 at its own noise level. With a reference,
which knows what `shared` (deft.metrics.alarm.residual) is where all is as told, the equation is

    trained for a range      shared(y, sigma_y) = its mean in the reference at sigma_y
    trained for one level    shared(y, told level) = its mean where the noise is c times that level,
                             measured for a few c: sigma_y = c times it

The second asks h at its own level only. shared is linear in c^2 for a Gaussian prior, and between
the c that were measured it is taken so. Of several measurements the means are equated: `pooled`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.htransforms.base import HTransform
from deft.likelihoods import GaussianLikelihood, Observation
from deft.metrics.alarm.reference import Reference
from deft.metrics.alarm.residual import NAMES, residual_statistics
from deft.posterior import Posterior
from deft.priors.base import Prior
from deft.samplers.arguments import Seed, observation_seeds
from deft.samplers.base import Sampler

FACTORS = (0.5, 2.0, 4.0)
"""What the noise level that was told is multiplied by, beside 1, to see how `shared` follows."""

_LEVELS, _SHARED, _MISFIT = 7, NAMES.index("shared"), NAMES.index("misfit")


@final
@dataclass(frozen=True)
class NoiseLevel:
    """The estimate of each measurement, and that of all together; `at_end` says that the pooled one
    lies at or beyond an end of what was looked at.
    """

    each: tuple[float, ...]
    pooled: float
    at_end: bool = False

    def line(self) -> str:
        """The estimate in one line."""
        spread = (
            f"; alone {min(self.each):.3g} to {max(self.each):.3g}" if len(self.each) > 1 else ""
        )
        end = ", at or beyond the end of what was looked at" if self.at_end else ""
        return f"sigma_y estimated: {self.pooled:.3g}{end} (all measurements together{spread})"


def estimate_sigma_y(
    prior: Prior,
    h_transform: HTransform,
    observation: Observation,
    sampler: Sampler,
    *,
    reference: Reference | None = None,
    between: tuple[float, float] | None = None,
    num_samples: int = 8,
    seed: Seed = 0,
    batch_size: int | None = None,
) -> NoiseLevel:
    """The noise level of measurements whose sigma_y is not known.

    `observation` has Gaussian noise; its own sigma_y is the level that h was trained for, or is not
    read with `between`, the ends of the levels that are looked at: those that h was trained for. An
    exact h-transform needs no reference. Raises `InvalidInput` where there is neither a range nor a
    reference that knows other levels, and for other noise.
    """
    if not isinstance(observation.likelihood, GaussianLikelihood):
        raise InvalidInput(
            "an estimate of sigma_y",
            given=type(observation.likelihood).__name__,
            expected="Gaussian noise of one standard deviation",
        )
    if between is None and reference is not None:
        between = reference.range_of_noise
    seeds = observation_seeds(seed, len(observation))

    def statistics(level: float | None) -> Tensor:
        """misfit and shared of each measurement, where this level is told."""
        here = observation if level is None else _told(observation, level)
        posterior = Posterior(prior, h_transform, here)
        drawn = prior.decode(sampler(posterior, num_samples, seed=seeds, batch_size=batch_size))
        rows = [residual_statistics(x, here.take([i])) for i, x in enumerate(drawn)]
        return torch.stack(rows).cpu()

    if between is not None:
        low, high = between
        if not 0 < low < high < math.inf:
            raise InvalidInput("between", given=between, expected="two levels, 0 < low < high")
        return _root(statistics, low, high, reference, num_samples)
    if reference is None or reference.noise is None:
        raise InvalidInput(
            "an estimate of sigma_y",
            given="an h-transform for one noise level, without a reference for others",
            expected="a reference (deft alarm), or the range of levels that h was trained for",
        )
    return by_curve(statistics(None)[:, _SHARED], observation.sigma_y, reference, num_samples)


def _told(observation: Observation, level: float) -> Observation:
    likelihood = GaussianLikelihood(observation.operator, level)
    other = Observation(observation.y, likelihood.to(observation.y.device))
    return other.with_lift(observation.lifted)


def _root(
    statistics: Callable[[float], Tensor],
    low: float,
    high: float,
    reference: Reference | None,
    num_samples: int,
) -> NoiseLevel:
    """Where the equation changes sign, on a grid of log sigma_y, and on a finer one there."""
    grid = torch.linspace(math.log(low), math.log(high), _LEVELS, dtype=torch.float64)
    gaps = torch.stack([_gap(statistics(math.exp(u)), u, reference, num_samples) for u in grid])
    pooled, end = _crossing(grid, gaps.mean(1))
    if not end:
        width = float(grid[1] - grid[0]) / 3
        finer = torch.tensor([pooled - width, pooled, pooled + width], dtype=torch.float64)
        close = torch.stack(
            [_gap(statistics(math.exp(u)), u, reference, num_samples) for u in finer]
        )
        grid, order = torch.cat([grid, finer]).sort()
        gaps = torch.cat([gaps, close])[order]
        slope, middle = _line(finer, close.mean(1))
        pooled = middle if slope < 0 and abs(middle - pooled) <= 3 * width else pooled
    each = tuple(math.exp(_crossing(grid, gap)[0]) for gap in gaps.T)
    return NoiseLevel(each, math.exp(pooled), end)


def _gap(found: Tensor, log_sigma: float, reference: Reference | None, num_samples: int) -> Tensor:
    """How much more is left than should be, of each measurement; falls with sigma_y."""
    if reference is None:
        return found[:, _MISFIT].exp() - 1
    return found[:, _SHARED] - reference.expected(_SHARED, num_samples, math.exp(log_sigma))


def _line(x: Tensor, y: Tensor) -> tuple[float, float]:
    """Slope and root of the line through points."""
    slope = float(((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum())
    return slope, float(x.mean()) - float(y.mean()) / slope if slope else math.inf


def _crossing(x: Tensor, y: Tensor) -> tuple[float, bool]:
    """Where values that fall cross 0, by the line between the two on either side; an end where they
    do not.
    """
    positive = (y > 0).nonzero().flatten()
    if not len(positive):
        return float(x[0]), True
    i = int(positive[-1])
    if i == len(x) - 1:
        return float(x[-1]), True
    share = float(y[i] / (y[i] - y[i + 1]))
    return float(x[i] + share * (x[i + 1] - x[i])), False


def by_curve(shared: Tensor, told: Tensor, reference: Reference, num_samples: int) -> NoiseLevel:
    """sigma_y from `shared` of each measurement where `told` was told, by the curve of a reference
    over the factor of the noise.
    """
    assert reference.noise is not None
    _, used = reference.rows(num_samples)
    curve = reference.noise["shared"][reference.samples.index(used)]
    square = [float(c) ** 2 for c in reference.noise["factor"]]
    told = told.double().expand(len(shared)).cpu()
    found = [_on_curve(float(s), square, curve) for s in shared]
    pooled, end = _on_curve(float(shared.mean()), square, curve)
    each = tuple(math.sqrt(c) * float(level) for (c, _), level in zip(found, told, strict=True))
    return NoiseLevel(each, math.sqrt(pooled) * float(told.mean()), end)


def _on_curve(value: float, square: Sequence[float], curve: Sequence[float]) -> tuple[float, bool]:
    """The squared factor at which the curve has a value, linear between its points and beyond the
    last one; the first one below it.
    """
    y = torch.tensor(curve, dtype=torch.float64).cummax(0).values.tolist()
    if value <= y[0]:
        return square[0], True
    for i in range(len(y) - 1):
        last = i == len(y) - 2
        if y[i + 1] > y[i] and (value <= y[i + 1] or last):
            share = (value - y[i]) / (y[i + 1] - y[i])
            return square[i] + share * (square[i + 1] - square[i]), value > y[-1]
    return square[-1], True
