"""An operator around another one, whose measurements they are: what is said of y, the inner one
says.
"""

from __future__ import annotations

from torch import Tensor

from deft.operators.base import ForwardOperator
from deft.operators.checked import Shape
from deft.types import Measurement


class Around(ForwardOperator):
    """The same measurements, of signals in other units or another space; a subclass registers
    `operator`.
    """

    operator: ForwardOperator

    @property
    def density(self) -> bool:  # type: ignore[override]
        return self.operator.density

    def measurement_shape(self) -> Shape | None:
        return self.operator.measurement_shape()

    def observed(self, y: Measurement) -> Measurement:
        return self.operator.observed(y)

    def difference(self, y: Measurement, predicted: Measurement) -> Measurement:
        return self.operator.difference(y, predicted)

    def readings(self, y: Measurement) -> dict[str, Measurement]:
        return self.operator.readings(y)

    def doubts(self, y: Measurement) -> list[str]:
        return self.operator.doubts(y)

    def measured(self, y: Measurement) -> Measurement:
        return self.operator.measured(y)

    def count(self, y: Measurement) -> Tensor:
        return self.operator.count(y)
