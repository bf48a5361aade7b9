"""Non-linear blur: what a shaking camera makes of a scene, in the light that reached it.

    u = (x_0 - low) / (high - low)                                    pixel values in [0, 1]
    A(x_0) = low + (high - low) R(min(exposure k * R^{-1}(u), 1))
            light = R^{-1}(u), blurred, exposed, cut off at the sensor's white

Light adds up, pixel values do not: the response R of the camera lies between them, and what is
blurred is the light. R is the transfer function of sRGB (IEC 61966-2-1),

    R(l) = 12.92 l below l = 0.0031308,    R(l) = 1.055 l^(1/2.4) - 0.055 above,

continued by the same formulas below 0 and above 1, so that estimates outside of the range have
derivatives. Where the sensor is saturated A has none: what guides is the map without the white
level, as for `HighDynamicRange`. Its derivative at x_0 is a blur between two slopes,

    J = exposure diag(R'(exposure k * R^{-1}(u))) K diag((R^{-1})'(u)),

so that a residual pulls as for a linear operator, by the equations of J (one step of Gauss and
Newton):

    J^T (r2 J J^T + s2 I)^{-1} residual
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from deft import checks
from deft.operators.base import ForwardOperator, within_reach
from deft.operators.blur import Blur
from deft.operators.checked import Shape
from deft.operators.solvers import conjugate_gradients
from deft.types import Measurement, Signal, Times, expand


@final
class NonlinearBlur(ForwardOperator):
    """Convolution of the light with a kernel per signal, (batch or 1, *size), between the curves of
    a camera.

    `exposure` is how much of the light is gathered: above 1, highlights are lost. `value_range` is
    (black, white) of the signal; `border` as in `Blur`.
    """

    _lift_is = "its regularised inverse, in light"

    def __init__(
        self,
        kernel: Tensor,
        exposure: float = 1.2,
        border: str = "reflect",
        value_range: tuple[float, float] = (-1.0, 1.0),
    ) -> None:
        super().__init__()
        self.blur = Blur(kernel, border)
        self.exposure = checks.positive("exposure", exposure, "the factor on the light of a scene")
        self.value_range = checks.finite_range(
            "value_range", value_range, "(black, white) of the signal"
        )

    def signal_shape(self) -> Shape | None:
        return self.blur.signal_shape()

    def measurement_shape(self) -> Shape | None:
        return self.blur.measurement_shape()

    def forward(self, x_0: Signal) -> Measurement:
        return self._pixels(response(self._exposed(x_0).clamp(max=1)))

    def surrogate(self, x_0: Signal) -> Measurement:
        """The same without the sensor's white level."""
        return self._pixels(response(self._exposed(x_0)))

    def pull(self, x_0: Signal, residual: Measurement, r2: Times, s2: Times) -> Signal:
        """J^T (r2 J J^T + s2 I)^{-1} residual, by conjugate gradients, J being the derivative of
        the surrogate at x_0; kept `within_reach`.
        """
        return self._solved(x_0, residual, torch.ones_like(residual), r2, s2)

    def weighted_pull(
        self, x_0: Signal, residual: Measurement, weight: Measurement, r2: Times
    ) -> Signal:
        """J^T W^(1/2) (r2 W^(1/2) J J^T W^(1/2) + I)^{-1} W^(1/2) residual, in the same way, with W
        = diag(weight).
        """
        root = weight.sqrt()
        return self._solved(x_0, root * residual, root, r2, torch.ones(1))

    def _solved(
        self, x_0: Signal, residual: Measurement, root: Measurement, r2: Times, s2: Times
    ) -> Signal:
        if not len(x_0):
            return torch.zeros_like(x_0)
        r2, s2 = expand(torch.as_tensor(r2), x_0).to(x_0), expand(torch.as_tensor(s2), x_0).to(x_0)
        before, after = (
            _slope_of_light(self._unit(x_0)),
            root * self.exposure * _slope_of_response(self._exposed(x_0)),
        )

        def transposed(v: Measurement) -> Signal:
            return before * self.blur.adjoint(after * v)

        def normal(v: Measurement) -> Measurement:
            return r2 * after * self.blur(before * transposed(v)) + s2 * v

        return within_reach(
            transposed(conjugate_gradients(normal, residual, _ITERATIONS, _TOLERANCE)), r2
        )

    def lift(self, y: Measurement) -> Signal:
        """The light of y, deblurred by the regularised inverse of `Blur.lift` and seen through the
        response again, within the range.
        """
        light = self.blur.lift(light_of(self._unit(y).clamp(0, 1))) / self.exposure
        return self._pixels(response(light.clamp(0, 1)))

    def _exposed(self, x_0: Signal) -> Tensor:
        return self.exposure * self.blur(light_of(self._unit(x_0)))

    def _unit(self, x: Tensor) -> Tensor:
        low, high = self.value_range
        return (x - low) / (high - low)

    def _pixels(self, u: Tensor) -> Tensor:
        low, high = self.value_range
        return low + (high - low) * u


def response(light: Tensor) -> Tensor:
    """Pixel values of linear light: the transfer function of sRGB."""
    return torch.where(
        light <= _TOE, _SLOPE * light, 1.055 * light.clamp(min=_TOE) ** (1 / 2.4) - 0.055
    )


def light_of(pixels: Tensor) -> Tensor:
    """Linear light of pixel values: the inverse of `response`."""
    toe = _SLOPE * _TOE
    return torch.where(
        pixels <= toe, pixels / _SLOPE, ((pixels.clamp(min=toe) + 0.055) / 1.055) ** 2.4
    )


def _slope_of_response(light: Tensor) -> Tensor:
    return torch.where(light <= _TOE, _SLOPE, 1.055 / 2.4 * light.clamp(min=_TOE) ** (1 / 2.4 - 1))


def _slope_of_light(pixels: Tensor) -> Tensor:
    toe = _SLOPE * _TOE
    return torch.where(
        pixels <= toe, 1 / _SLOPE, 2.4 / 1.055 * ((pixels.clamp(min=toe) + 0.055) / 1.055) ** 1.4
    )


_TOE, _SLOPE = 0.0031308, 12.92
_ITERATIONS, _TOLERANCE = 12, 1e-3  # of the pull: where it points matters, not its last digits
