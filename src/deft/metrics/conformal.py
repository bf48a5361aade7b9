"""Conformal factors: how much wider than its samples say an interval must be, so that it holds on
average over images.

Samples x^(1), ..., x^(S) of the posterior of one image give every quantity f (a pixel, w^T x)
nested intervals, and the truth a score:

    C(q) = [low - q u, high + q u],    f(x_0) in C(q)  <=>  s = max(low - f, f - high) / u <= q
    by deviations:  low = high = mean of the samples,  u^2 = their variance + floor^2
    by quantiles:   low, high = quantiles of the samples,  u = 1        Romano et al. 2019 (CQR)

The units i = 1, ..., n are images, or patients with several images: they are exchangeable with the
next one. Pixels of one image are not, so that they are averaged first. The loss of a unit is

    L_i(q) = the share of its quantities of one class with s > q, averaged over its images

which lies in [0, 1] and falls with q. Conformal risk control (Angelopoulos et al. 2022,
arXiv:2208.02814, eq. 4, Theorems 1 and 2) takes

    q = min { q : n / (n + 1) mean_i L_i(q) + 1 / (n + 1) <= 1 - level }
    level <= E[1 - L_{n+1}(q)] <= level + 2 / (n + 1)           the latter where no scores are equal

whatever the posterior, the prior and the sampler are. The expectation is over images: nothing is
said of one image. Such a q exists where n + 1 >= 1 / (1 - level). With one quantity of one image
per unit it is the score of rank ceil((n + 1) level), the split-conformal quantile.

What a right posterior would need: where it is Gaussian and the samples are its own,

    (f(x_0) - mean) / (std sqrt(1 + 1 / S)) ~ Student's t with S - 1 degrees of freedom
    q_0 = sqrt(1 + 1 / S) t_{S-1}((1 + level) / 2)

The floor is what rounding to 256 levels of the range adds, range / (255 sqrt(12)): the truth is
rounded and samples are not. It keeps scores finite where all samples agree; any floor is valid.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from deft.errors import InvalidInput

_ROUNDING = 1e-9  # of sums of shares


@final
@dataclass(frozen=True)
class Bands:
    """Nested intervals [low - q unit, high + q unit] of every quantity of every image:
    (images, *shape).
    """

    low: Tensor
    high: Tensor
    unit: Tensor

    def scores(self, truth: Float[Tensor, " images *shape"]) -> Float[Tensor, " images *shape"]:
        """The least q whose interval holds the truth."""
        return torch.maximum(self.low - truth, truth - self.high) / self.unit

    def interval(
        self, q: float | Tensor, within: tuple[float, float] | None = None
    ) -> tuple[Tensor, Tensor]:
        """The ends for a factor, one or one for each quantity; cut to the range that every truth
        lies in, where one is given, which loses no coverage.
        """
        low, high = self.low - q * self.unit, self.high + q * self.unit
        return (low, high) if within is None else (low.clamp(*within), high.clamp(*within))


def by_deviation(samples: Float[Tensor, "images samples *shape"], floor: float) -> Bands:
    """Bands around the mean of the samples, in units of (variance + floor^2)^(1/2)."""
    if samples.ndim < 2 or samples.shape[1] < 2:
        raise InvalidInput(
            "samples",
            given=f"shape {tuple(samples.shape)}",
            expected="(images, samples, *shape), two samples or more",
        )
    if not 0 < floor < math.inf:
        raise InvalidInput("floor", given=floor, expected="a finite number > 0")
    mean = samples.mean(1)
    return Bands(mean, mean, (samples.var(1) + floor**2).sqrt())


def by_quantiles(samples: Float[Tensor, "images samples *shape"], level: float) -> Bands:
    """Bands around the central interval of the samples, by their interpolated quantiles."""
    _check_level(level)
    tails = torch.tensor([(1 - level) / 2, (1 + level) / 2]).to(samples)
    low, high = torch.quantile(samples, tails, dim=1)
    return Bands(low, high, torch.ones_like(low))


def fewest(level: float) -> int:
    """The least number of units for a level: n + 1 >= 1 / (1 - level)."""
    _check_level(level)
    return math.ceil(1 / (1 - level) - _ROUNDING) - 1


def factor(
    scores: Float[Tensor, " images *shape"],
    level: float,
    *,
    where: Bool[Tensor, " images *shape"] | None = None,
    units: Sequence[Hashable] | None = None,
) -> float:
    """The least q with n / (n + 1) mean_i L_i(q) + 1 / (n + 1) <= 1 - level.

    `where` chooses the quantities of the class, such that it does not look at the truth; units
    without any do not count, and what is promised is then for units that have some. `units` names
    the unit of each image, the image itself by default. Raises `InvalidInput` where there are too
    few units for the level, or scores are not finite.
    """
    _check_level(level)
    weight = weights(scores, where, units)
    chosen = weight > 0
    n = number_of_units(chosen, units)
    if n < fewest(level):
        raise InvalidInput(
            "units to calibrate on",
            given=n,
            expected=f"at least {fewest(level)}, for intervals of {100 * level:g} %",
            advice="give more, or a lower level",
        )
    values, weight = scores.flatten(1)[chosen].double(), weight[chosen]
    if not bool(values.isfinite().all()):
        raise InvalidInput("scores", given="NaN or infinite values", expected="finite ones")
    values, order = values.sort()
    above = weight.sum() - weight[order].cumsum(0)  # mean loss at each score
    allowed = 1 - level - level / n
    first = int((above <= allowed + _ROUNDING).nonzero()[0])
    return float(values[first])


def weights(
    scores: Float[Tensor, " images *shape"],
    where: Bool[Tensor, " images *shape"] | None = None,
    units: Sequence[Hashable] | None = None,
) -> Float[Tensor, "images entries"]:
    """What each quantity counts in the mean loss: 1 / (units x images of its unit x quantities of
    its image), among those that have any; they sum to one.
    """
    chosen = torch.ones_like(scores, dtype=torch.bool) if where is None else where
    if chosen.shape != scores.shape or (units is not None and len(units) != len(scores)):
        raise InvalidInput(
            "where, units",
            given=f"{tuple(chosen.shape)}, {len(scores) if units is None else len(units)}",
            expected=f"of scores of shape {tuple(scores.shape)}, one unit for each image",
        )
    chosen = chosen.flatten(1)
    count = chosen.sum(1).double()
    names = [names for names, some in zip(_names(len(scores), units), count.tolist()) if some]
    images: dict[Hashable, int] = {}
    for name in names:
        images[name] = images.get(name, 0) + 1
    own = torch.tensor(
        [
            1 / (len(images) * images[name] * some) if some else 0.0
            for name, some in zip(_names(len(scores), units), count.tolist())
        ],
        dtype=torch.float64,
    )
    return chosen.double() * own[:, None].to(chosen.device)


def number_of_units(
    where: Bool[Tensor, " images *shape"], units: Sequence[Hashable] | None = None
) -> int:
    """How many units have quantities of a class."""
    some = where.flatten(1).any(1).tolist()
    return len({name for name, has in zip(_names(len(where), units), some) if has})


def usual(level: float, samples: int) -> float:
    """q_0 = sqrt(1 + 1 / S) t_{S-1}((1 + level) / 2): the factor of a Gaussian posterior that
    `samples` of its own samples describe.
    """
    _check_level(level)
    if samples < 2:
        raise InvalidInput("samples", given=samples, expected="at least 2")
    low, high = 0.0, math.pi / 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _central(middle, samples - 1) < level else (low, middle)
    return math.sqrt(1 + 1 / samples) * math.sqrt(samples - 1) * math.tan(low)


def _central(theta: float, degrees: int) -> float:
    """P(|T| <= sqrt(degrees) tan theta) of Student's t: Abramowitz & Stegun 1964, 26.7.3-4."""
    sine, cosine = math.sin(theta), math.cos(theta)
    odd = degrees % 2
    term, total = cosine if odd else 1.0, 0.0
    for k in range(2 if not odd else 3, degrees + 1, 2):
        total += term
        term *= (k - 1) / k * cosine**2
    return (2 / math.pi) * (theta + sine * total) if odd else sine * total


def _names(count: int, units: Sequence[Hashable] | None) -> Sequence[Hashable]:
    return range(count) if units is None else units


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise InvalidInput(
            "level",
            given=level,
            expected="a number between 0 and 1",
            advice="0.9 for intervals that hold 90 %",
        )
