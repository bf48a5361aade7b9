"""Colourisation: the grey picture of one in colour.

    A x = sum over channels of w_c x_c,    y of one channel

w = (0.299, 0.587, 0.114) by default, the luma of ITU-R BT.601, as Pillow's convert("L") and JPEG
have it: the weights sum to 1, so that grey stays as it is, and they act on the values of the
picture as they are stored, not on the light. In its singular basis

    U = I,    s = |w|,    V^T x = sum_c (w_c / |w|) x_c

at every place: what is seen of three numbers is one.
"""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor

from deft import checks
from deft.errors import InvalidInput
from deft.operators.base import SpectralOperator
from deft.operators.checked import Shape
from deft.types import Mask, Measurement, Signal, Times, expand

LUMA = (0.299, 0.587, 0.114)
Weights = tuple[float, float, float]


@final
class Colourisation(SpectralOperator):
    """A x = w_r x_r + w_g x_g + w_b x_b: grey from red, green and blue; `weights` is w.

    The default is the luma of BT.601; (0.2126, 0.7152, 0.0722) is that of BT.709, (1/3, 1/3, 1/3)
    the mean. The weights are >= 0 with a sum > 0; where it is not 1, y has another range than x.
    """

    signal_is = "pictures in colour (red, green, blue)"
    measurement_is = "grey pictures of one channel"
    measures_coefficients = True
    _lift_is = "the grey picture, in every channel"

    def __init__(self, weights: Weights = LUMA) -> None:
        super().__init__()
        self.weights = _weights(weights)
        self._size = math.sqrt(sum(w * w for w in self.weights))

    def signal_shape(self) -> Shape:
        return (3, None, None)

    def measurement_shape(self) -> Shape:
        return (1, None, None)

    def forward(self, x_0: Signal) -> Measurement:
        return (self._w(x_0) * x_0).sum(1, keepdim=True)

    def adjoint(self, y: Measurement) -> Signal:
        return self._w(y) * y

    def solve(self, v: Measurement, r2: Times, s2: Times) -> Measurement:
        """v / (r2 |w|^2 + s2)."""
        r2, s2 = torch.as_tensor(r2), torch.as_tensor(s2)
        return v / expand(r2 * self._size**2 + s2, v).to(v)

    def lift(self, y: Measurement) -> Signal:
        """y over the sum of the weights, in every channel: A lift(y) = y."""
        return (y / sum(self.weights)).expand(len(y), 3, *y.shape[2:])

    def coverage(self, like: Signal) -> Mask:
        """1/3: of three numbers at each place one is seen."""
        return torch.full_like(like[:, :1], 1 / 3)

    def singular_values(self, like: Tensor) -> Tensor:
        return like.new_full((1,) * like.ndim, self._size)

    def v_t(self, x_0: Signal) -> Tensor:
        return (self._w(x_0) / self._size * x_0).sum(1, keepdim=True)

    def v(self, coefficients: Tensor) -> Signal:
        return self._w(coefficients) / self._size * coefficients

    def u_t(self, y: Measurement) -> Tensor:
        return y

    def u(self, coefficients: Tensor) -> Measurement:
        return coefficients

    def _w(self, like: Tensor) -> Tensor:
        return like.new_tensor(self.weights).reshape(1, 3, 1, 1)


def _weights(weights: object) -> Weights:
    expected = "three numbers >= 0 with a sum > 0: how much of red, green and blue is in grey"
    if not isinstance(weights, (tuple, list)) or len(weights) != 3:
        raise InvalidInput("weights", given=str(weights), expected=expected)
    red, green, blue = (
        checks.non_negative("weights", w, "for each of red, green and blue") for w in weights
    )
    if red + green + blue == 0:
        raise InvalidInput("weights", given=str(weights), expected=expected)
    return (red, green, blue)
