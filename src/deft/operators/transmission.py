"""Transmission: photons that reach a detector, counted.

    A(x_0) = photons exp(-B x_0),    B: integrals along rays (Beer and Lambert)

What is known of B x_0 afterwards is l = log(photons / y), with the variance 1 / A(x_0) that
Poisson's law gives it.
"""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.operators.around import Around
from deft.operators.base import LinearOperator
from deft.types import Mask, Measurement, Signal, expand

_MOST_PHOTONS = 2.0**53  # beyond, double precision does not count


@final
class Transmission(Around):
    """The expected counts behind an object; `photons` is how many are sent along each ray, one
    number for all signals or one per signal.

    `operator` integrates in units that exp takes, without any (`InUnits`, or the `pixel` of
    `Tomography`). Before a logarithm counts must be positive: `lift` raises InvalidInput for those
    that are not, or takes those from 0 up to `floor` as `floor` (LoDoPaB-CT: 0.1).
    """

    operator: LinearOperator
    photons: Tensor

    def __init__(
        self, operator: LinearOperator, photons: float | Tensor, floor: float | None = None
    ) -> None:
        super().__init__()
        expected = (
            "the number that is sent along each ray, > 0 and at most 2^53: one number, or one per "
            "signal"
        )
        try:
            photons = torch.as_tensor(photons)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InvalidInput(
                "photons is the number that is sent", given=photons, expected=expected
            ) from error
        if photons.is_complex() or photons.dtype == torch.bool or photons.ndim > 1:
            raise InvalidInput(
                "photons is the number that is sent",
                given=f"{photons.dtype} of shape {tuple(photons.shape)}",
                expected=expected,
            )
        photons = photons.to(torch.get_default_dtype()).reshape(-1)
        good = (photons > 0) & (photons <= _MOST_PHOTONS)
        if not bool(good.all()):
            raise InvalidInput(
                "photons is the number that is sent",
                given=float(photons[~good][0]),
                expected=expected,
            )
        if floor is not None and not (isinstance(floor, (int, float)) and 0 < floor < math.inf):
            raise InvalidInput(
                "floor stands in for counts of zero before a logarithm",
                given=floor,
                expected="a number > 0",
            )
        self.operator, self.floor = operator, floor
        self.per_signal("photons", photons)

    def forward(self, x_0: Signal) -> Measurement:
        integrals = self.operator(x_0)
        return expand(self.photons, integrals) * (-integrals).exp()

    def integrals(self, counts: Measurement) -> Measurement:
        """log(photons / counts), the integrals that the counts say. Raises InvalidInput for counts
        without a logarithm.
        """
        check_counts(counts)
        if self.floor is not None:
            counts = counts.clamp(min=self.floor)
        elif bool((none := (counts == 0).flatten(1)).any()):
            raise InvalidInput(
                f"{int(none.sum())} of {none.numel()} counts are zero and have no logarithm, the "
                f"first in signal {int(none.any(1).nonzero()[0])} of the batch; "
                "send more photons, or say with `floor` what stands in for zero (0.1, say)."
            )
        return (expand(self.photons, counts) / counts).log()

    def lift(self, y: Measurement) -> Signal:
        return self.operator.lift(self.integrals(y))

    def coverage(self, like: Signal) -> Mask:
        return self.operator.coverage(like)

    def doubts(self, y: Measurement) -> list[str]:
        return self.operator.doubts(self.integrals(y.clamp(min=0.5)))


def check_counts(counts: Tensor) -> None:
    """Raises InvalidInput for counts that are negative or not finite, and says in which signal of
    the batch.
    """
    bad = ~((counts >= 0) & counts.isfinite()).flatten(1)
    if bool(bad.any()):
        first = int(bad.any(1).nonzero()[0])
        value = counts.flatten(1)[first][bad[first]][0].item()
        raise InvalidInput(
            f"counts of photons are >= 0 and finite; {int(bad.sum())} of {bad.numel()} are not, "
            f"the first, {value:g}, in signal {first} of the batch. "
            "Line integrals (after the logarithm) belong to a GaussianLikelihood."
        )
