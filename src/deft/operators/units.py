"""Units: operators speak physical units (attenuation, counts, [0, 1]), the prior its own.

    x_physical = scale x_0 + offset,    y = A(scale x_0 + offset)

An affine forward map, with the linear part scale A. The constant A(offset) enters the residual y -
A(scale x_0_hat + offset), and nothing else.
"""

from __future__ import annotations

from typing import final

from torch import Tensor

from deft import checks
from deft.errors import InvalidInput
from deft.operators.around import Around
from deft.operators.base import LinearOperator
from deft.operators.checked import Shape
from deft.types import Mask, Measurement, Signal, Times


def hounsfield(operator: LinearOperator, window: tuple[float, float], mu_water: float) -> InUnits:
    """`operator`, which takes attenuations, behind a prior whose [-1, 1] is the window [low, high]
    of Hounsfield units.

    mu = mu_water (1 + HU / 1000),    HU = low + (x_0 + 1) (high - low) / 2
    """
    low, high = checks.finite_range("window", window, "in Hounsfield units")
    mu_water = checks.positive("mu_water", mu_water, "the attenuation of water per unit of length")
    return InUnits(
        operator, scale=mu_water * (high - low) / 2000, offset=mu_water * (1 + (low + high) / 2000)
    )


@final
class InUnits(Around, LinearOperator):
    """A(scale x_0 + offset): `operator` in its own units, behind a prior in others (for [0, 1]
    behind [-1, 1]: scale 0.5, offset 0.5).

        lift(y) = (A.lift(y) - A.lift_of(offset)) / scale

    which is (A.lift(y) - offset) / scale where A sees a constant, and 0 (the middle of the prior's
    range) where A sees nothing.
    """

    operator: LinearOperator

    def __init__(self, operator: LinearOperator, scale: float, offset: float = 0.0) -> None:
        super().__init__()
        if not isinstance(operator, LinearOperator):
            raise InvalidInput(
                "operator",
                given=type(operator).__name__,
                expected="a LinearOperator, in its own units",
            )
        meaning = "which maps the prior's units to the operator's"
        if checks.finite("scale", scale, meaning) == 0:
            raise InvalidInput(
                "scale", given=scale, expected=f"a finite number that must not be 0, {meaning}"
            )
        self.operator, self.scale, self.offset = (
            operator,
            float(scale),
            checks.finite("offset", offset, meaning),
        )
        self.any_precision = operator.any_precision

    def signal_shape(self) -> Shape | None:
        return self.operator.signal_shape()

    @property
    def lift_is(self) -> str:
        return self.operator.lift_is

    def forward(self, x_0: Signal) -> Measurement:
        return self.operator(self.scale * x_0 + self.offset)

    def linear(self, x_0: Signal) -> Measurement:
        return self.scale * self.operator.linear(x_0)

    def adjoint(self, y: Measurement) -> Signal:
        return self.scale * self.operator.adjoint(y)

    def solve(self, v: Measurement, r2: Times, s2: Times) -> Measurement:
        return self.operator.solve(v, self.scale**2 * r2, s2)

    def pull(self, x_0: Signal, residual: Measurement, r2: Times, s2: Times) -> Signal:
        return self.scale * self.operator.pull(
            self.scale * x_0 + self.offset, residual, self.scale**2 * r2, s2
        )

    def precondition(self, b: Signal, r2: Tensor, s2: Tensor) -> Signal:
        return self.operator.precondition(b, self.scale**2 * r2, s2)

    def lift(self, y: Measurement) -> Signal:
        lifted = self.operator.lift(y)
        if self.offset == 0:
            return lifted / self.scale
        return (lifted - self.operator.lift_of(self.offset, lifted)) / self.scale

    def coverage(self, like: Signal) -> Mask:
        return self.operator.coverage(like)
