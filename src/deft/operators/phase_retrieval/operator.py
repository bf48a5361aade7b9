"""Phase retrieval as an operator: A(x_0) = |F P u| for each channel, on a canvas twice as large."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from deft import checks
from deft.errors import InvalidInput
from deft.operators.base import ForwardOperator
from deft.operators.checked import Shape
from deft.operators.phase_retrieval import hybrid_input_output, magnitudes, symmetry
from deft.types import Measurement, Signal


@final
class PhaseRetrieval(ForwardOperator):
    """Magnitudes of images, (channels, height, width), of any size: (channels, 2 height, 2 width),
    the frequency 0 at (0, 0).

    `value_range` is (black, white) of the signal, which A sees in [0, 1]; None for signed images,
    which it sees as they are. `iterations`, `restarts` and `beta` are those of the hybrid
    input-output of `lift`, a fifth of the iterations being error reduction; its starts are always
    the same.
    """

    _lift_is = "its reconstruction by hybrid input-output"

    def __init__(
        self,
        value_range: tuple[float, float] | None = (-1.0, 1.0),
        *,
        iterations: int = 200,
        restarts: int = 4,
        beta: float = 0.9,
    ) -> None:
        super().__init__()
        if value_range is not None:
            value_range = checks.finite_range(
                "value_range",
                value_range,
                "(black, white) of the signal",
                "use None for signed images",
            )
        self.value_range = value_range
        self.symmetries = (
            f"a rotation by 180 degrees, a translation{'' if self.value_range else ', a sign'}, in "
            "each channel by itself"
        )
        self.iterations = checks.whole(
            "iterations", iterations, meaning="those of the reconstruction"
        )
        self.restarts = checks.whole(
            "restarts", restarts, meaning="from how many starts the reconstruction is made"
        )
        self.beta = checks.share("beta", beta, "the feedback of hybrid input-output", zero=False)

    def signal_shape(self) -> Shape:
        return (None, None, None)

    def measurement_shape(self) -> Shape:
        return (None, None, None)

    def forward(self, x_0: Signal) -> Measurement:
        height, width = x_0.shape[2:]
        if not len(x_0):  # Fourier transforms of nothing are errors in some libraries
            return x_0.new_zeros(0, x_0.shape[1], 2 * height, 2 * width)
        result: Measurement = torch.fft.fft2(
            self._unit(x_0), s=(2 * height, 2 * width), norm="ortho"
        ).abs()
        return result

    def lift(self, y: Measurement) -> Signal:
        """Hybrid input-output; of several channels each is found by itself, and those after the
        first are then aligned with it.
        """
        height, width = y.shape[2] // 2, y.shape[3] // 2
        if y.shape[2] % 2 or y.shape[3] % 2:
            raise InvalidInput(
                "PhaseRetrieval.lift(y)",
                given=f"the shape {tuple(y.shape)}",
                expected="(batch, channels, 2 height, 2 width), an even height and width, twice "
                "those of the image",
                advice="measure the image padded with zeros to twice its size",
            )
        magnitudes.check(y)
        if not len(y):
            return y.new_zeros(0, y.shape[1], height, width)
        best = hybrid_input_output.reconstructed(
            y, self.restarts, self.iterations, self.beta, self._signed
        )
        first = best[:, :1]
        return self._signal(
            torch.cat(
                [
                    first,
                    *(
                        symmetry.aligned(best[:, c : c + 1], first, self._signed)
                        for c in range(1, y.shape[1])
                    ),
                ],
                dim=1,
            )
        )

    def doubts(self, y: Measurement) -> list[str]:
        """Whether the frequency 0 seems to stand in the middle, and whether more is negative than
        noise makes.
        """
        return magnitudes.doubts(y)

    def align(self, x: Signal, reference: Signal) -> Signal:
        """x under the symmetry of A that brings it nearest to `reference`: rotated by 180 degrees
        or not, moved, its sign; each channel by itself.

        Nearest on the whole canvas: what a translation moves out of the image counts as lost, and
        comes back on no other side.
        """
        if not len(x):
            return x
        moved = symmetry.aligned(self._unit(x), self._unit(reference), self._signed)
        return self._signal(moved)

    @property
    def _signed(self) -> bool:
        return self.value_range is None

    def _unit(self, x: Signal) -> Tensor:
        if self.value_range is None:
            return x
        low, high = self.value_range
        return (x - low) / (high - low)

    def _signal(self, u: Tensor) -> Signal:
        if self.value_range is None:
            return u
        low, high = self.value_range
        return low + (high - low) * u
