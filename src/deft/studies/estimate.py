"""Averages over images, with standard errors, and differences between methods on the same images.

    theta      the measure over all n images (a mean, a root mean square, a distance between sets)
    theta_(g)  the same without group g of G groups of images
    SE^2       = (G - 1) / G  sum_g (theta_(g) - mean theta_(.))^2
            the jackknife (Efron & Stein 1981, doi:10.1214/aos/1176345462)

For a mean, with one image per group, SE is the usual s / sqrt(n). The difference of two methods on
the same images has the replicates theta^a_(g) - theta^b_(g), so that what images have in common
drops out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

_MAX_GROUPS = 20


@final
@dataclass(frozen=True)
class Estimate:
    """A number over `count` images, and the same number without each group of them."""

    value: float
    replicates: tuple[float, ...]
    count: int

    @classmethod
    def mean(cls, values: Sequence[float]) -> Estimate:
        """The mean over images."""
        n, total = len(values), math.fsum(values)
        return cls(
            total / n, tuple((total - value) / (n - 1) for value in values) if n > 1 else (), n
        )

    @classmethod
    def root_mean_square(cls, values: Sequence[float]) -> Estimate:
        """The root of the mean square over images."""
        squares = cls.mean([value**2 for value in values])
        return cls(
            math.sqrt(squares.value),
            tuple(math.sqrt(max(value, 0.0)) for value in squares.replicates),
            squares.count,
        )

    @property
    def standard_error(self) -> float:
        """By the jackknife; not a number for a single image."""
        n = len(self.replicates)
        if n < 2:
            return math.nan
        centre = math.fsum(self.replicates) / n
        return math.sqrt(
            (n - 1) / n * math.fsum((value - centre) ** 2 for value in self.replicates)
        )

    def __sub__(self, other: Estimate) -> Estimate:
        """The paired difference; both over the same images in the same groups."""
        pairs = tuple(a - b for a, b in zip(self.replicates, other.replicates, strict=True))
        return Estimate(self.value - other.value, pairs, self.count)

    def card(self) -> dict[str, object]:
        """Value and standard error as JSON knows them: None where a number is not finite."""
        return {
            "value": finite(self.value),
            "standard_error": finite(self.standard_error),
            "images": self.count,
        }


def groups(count: int) -> list[list[int]]:
    """At most 20 groups of images, as even as can be."""
    number = min(count, _MAX_GROUPS)
    return [list(range(g, count, number)) for g in range(number)]


def finite(value: float) -> float | None:
    """The number, or None where it is infinite or not a number, which JSON has no word for."""
    return float(value) if math.isfinite(value) else None
