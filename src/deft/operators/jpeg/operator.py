"""JPEG as a forward operator."""

from __future__ import annotations

from typing import Literal, final

import torch
from torch import Tensor

from deft import checks
from deft.errors import InvalidInput
from deft.operators.base import ForwardOperator, within_reach
from deft.operators.checked import Shape
from deft.operators.jpeg import planes
from deft.operators.jpeg.planes import levels, straight
from deft.operators.jpeg.tables import table
from deft.types import Measurement, Signal, Times, expand, in_double

Chroma = Literal["4:4:4", "4:2:2", "4:2:0"]
_SAMPLING: dict[str, tuple[int, int]] = {"4:4:4": (1, 1), "4:2:2": (1, 2), "4:2:0": (2, 2)}
_PRECISION = 8.0  # the reference encoder keeps eighths of a coefficient before it quantises
_TIE = 1e-9  # of a cell: halves are rounded away from 0, whatever the last digit says
_INSIDE = 0.25  # of a cell to each side of its middle: what an estimate from outside is pulled to
_SURE = 6.0  # a cell of so many standard deviations of the noise is known


@final
class JPEG(ForwardOperator):
    """A(x_0) = decode(encode(x_0)) of pictures of 1 or 3 channels of any size.

    `quality` runs from 1 to 100; `chroma` is how colours are sampled, "4:2:0" as most files have it
    (once for 2 x 2 places), "4:2:2" or "4:4:4" (everywhere). `value_range` is (black, white) of the
    signal, 255 grey levels apart. Agrees with the reference decoder to a grey level (within its
    rounding).
    A has a derivative: that of the same steps without their roundings (straight-through; none where
    a value is clipped to black or white).
    """

    any_precision = True
    signal_is = "pictures of 1 or 3 channels"
    measurement_is = "decoded pictures, of the signal's shape"
    _lift_is = "the decoded picture itself"

    def __init__(
        self,
        quality: int = 10,
        chroma: Chroma = "4:2:0",
        value_range: tuple[float, float] = (-1.0, 1.0),
    ) -> None:
        super().__init__()
        self.quality = checks.whole(
            "quality", quality, 1, 100, "1 the smallest file, 100 the best picture"
        )
        if chroma not in _SAMPLING:
            raise InvalidInput("chroma", given=chroma, expected=f"one of {', '.join(_SAMPLING)}")
        self.chroma: Chroma = chroma
        self.value_range = checks.finite_range(
            "value_range", value_range, "(black, white) of the signal"
        )

    def signal_shape(self) -> Shape:
        return (None, None, None)

    def measurement_shape(self) -> Shape:
        return (None, None, None)

    def forward(self, x_0: Signal) -> Measurement:
        _check_channels(x_0)
        if not len(x_0):
            return x_0
        # in double precision, for ties of quantisation are common
        pixels = levels(self._pixels(in_double(x_0)))
        coded = [
            (group, straight(step * _nearest(c / step), c))
            for group, c, step in self._coefficients(pixels.clamp(0, 255))
        ]
        decoded = self._decoded(coded, (x_0.shape[-2], x_0.shape[-1])).clamp(0, 255)
        return self._signal(decoded).to(x_0.dtype)

    def lift(self, y: Measurement) -> Signal:
        return y

    def pull(self, x_0: Signal, residual: Measurement, r2: Times, s2: Times) -> Signal:
        """(nearest - c_hat) / (r2 + s2) in the coefficients, as a picture; kept `within_reach`.

        y says a cell: that of A(x_0), moved by the residual. Where c_hat lies in it, nothing is
        said; elsewhere `nearest` is the nearest point of its inner half. Where the noise of y (s2,
        and its rounding to grey levels) leaves no doubt of the cell, s2 is no part of it; where it
        does, the cell is not moved by whole steps, and `nearest` is the nearest point of all of it.
        """
        _check_channels(x_0)
        if not len(x_0):
            return torch.zeros_like(x_0)
        low, high = self.value_range
        unit = (high - low) / 255
        x, moved = self._pixels(in_double(x_0)), in_double(residual) / unit
        spread, noise = (
            expand(torch.as_tensor(v), x).to(x) / unit**2 for v in (r2, s2)
        )  # variances, in grey levels
        pulls = []
        shifts = self._coefficients(moved, of_measurement=True)
        own = self._coefficients(levels(x).clamp(0, 255))
        for (group, c, step), (_, by, _), gain in zip(own, shifts, self._gains(x)):
            of_noise = gain * (noise + 1 / 12)[..., None, None]
            sure = step > _SURE * of_noise.sqrt()
            cells = torch.where(sure, _nearest(by / step), 0.0)
            centre = step * (_nearest(c / step) + cells) + torch.where(sure, 0.0, by)
            half = step * torch.where(cells == 0, 0.5, _INSIDE)
            shift = torch.minimum(torch.maximum(c, centre - half), centre + half) - c
            variance = (spread + torch.zeros_like(noise))[..., None, None] + torch.where(
                sure, 0.0, noise[..., None, None]
            )
            pulls.append((group, shift / variance))
        size = (x_0.shape[-2], x_0.shape[-1])
        found = self._decoded(pulls, size, linear=True) / unit
        return within_reach(found.to(x_0.dtype), expand(torch.as_tensor(r2), x_0).to(x_0))

    def _pixels(self, x: Tensor) -> Tensor:
        low, high = self.value_range
        return (x - low) * (255 / (high - low))

    def _signal(self, pixels: Tensor) -> Tensor:
        low, high = self.value_range
        return low + pixels * ((high - low) / 255)

    def _coefficients(
        self, pixels: Tensor, of_measurement: bool = False
    ) -> list[tuple[int, Tensor, Tensor]]:
        """(how many planes, their coefficients, the steps of quantisation): of the brightness, and
        of the colours where there are any.

        Of pixels as they are stored; or, `of_measurement`, of a difference of decoded pictures: no
        rounding, no offset, and colours as they were before they were interpolated.
        """
        whole = (lambda v: v) if of_measurement else levels
        grey, colours = pixels, None
        if pixels.shape[1] == 3:
            ycc = whole(planes.to_ycc(pixels))
            grey, colours = ycc[:, :1], ycc[:, 1:]
        found = [self._plane(grey if of_measurement else grey - 128, of_measurement, False)]
        if colours is not None:
            down, across = _SAMPLING[self.chroma]
            sampled = (
                planes.sharpened(planes.averaged(colours, down, across), down, across)
                if of_measurement
                else planes.sampled(colours, down, across)
            )
            found.append(self._plane(sampled, of_measurement, True))
        return found

    def _plane(self, x: Tensor, exact: bool, chrominance: bool) -> tuple[int, Tensor, Tensor]:
        c = planes.blocks(planes.padded(x, planes.BLOCK, planes.BLOCK))
        c = c if exact else straight(_nearest(_PRECISION * c) / _PRECISION, c)
        return x.shape[1], c, table(self.quality, chrominance=chrominance).to(c)

    def _decoded(
        self, coded: list[tuple[int, Tensor]], size: tuple[int, int], linear: bool = False
    ) -> Tensor:
        """Grey levels from coefficients; `linear`: of a difference, without rounding and offset,
        the colours repeated where they were averaged.
        """
        whole = (lambda v: v) if linear else levels
        (_, grey), *rest = coded
        found = planes.plane(grey)[..., : size[0], : size[1]]
        if not linear:
            found = levels(found + 128).clamp(0, 255)
        if not rest:
            return found
        down, across = _SAMPLING[self.chroma]
        colours = planes.plane(rest[0][1])
        if linear:
            colours = colours.repeat_interleave(down, -2).repeat_interleave(across, -1)
            colours = colours[..., : size[0], : size[1]]
        else:
            sampled = (-(-size[0] // down), -(-size[1] // across))
            colours = levels(colours[..., : sampled[0], : sampled[1]]).clamp(-128, 127)
            colours = planes.interpolated(colours, down, across, size)
        return whole(planes.to_rgb(torch.cat([found, colours], 1)))

    def _gains(self, x: Tensor) -> list[float | Tensor]:
        """The variance of a coefficient of white noise of variance 1, for each group of planes."""
        if x.shape[1] == 1:
            return [1.0]
        down, across = _SAMPLING[self.chroma]
        grey, *colours = (n**2 for n in planes.NORMS)
        sampled = x.new_tensor(colours).reshape(1, 2, 1, 1, 1, 1) / (down * across)
        return [grey, sampled]


def _nearest(x: Tensor) -> Tensor:
    """Whole numbers, halves away from 0, whatever rounding errors say of a half."""
    return x.sign() * (x.abs() + (0.5 + _TIE)).floor()


def _check_channels(x: Tensor) -> None:
    if x.shape[1] not in (1, 3):
        raise InvalidInput(
            "JPEG",
            given=f"signals of {x.shape[1]} channels",
            expected="1 (grey) or 3 (red, green, blue)",
        )
