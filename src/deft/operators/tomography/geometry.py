"""Where the rays of a scan run, and what makes a scan.

With e = (cos theta, sin theta) along the detector and f = (-sin theta, cos theta) along the beam,
columns running along +X and rows along -Y,

    parallel:  s_d e + t f,    s_d = (d - centre) spacing
    fan:       from -R f to L f + s_d e,
    R and L the distances of source and detector from the rotation centre

`docs/ct.md` draws it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.operators.tomography.quantities import (
    LARGEST_SIDE,
    distances,
    image_size,
    positive,
    whole,
)


@dataclass(frozen=True)
class Geometry:
    """A scan without its angles; hashable, the key of what is stored."""

    height: int
    width: int
    detectors: int
    spacing: float
    pixel: float
    fan: tuple[float, float] | None
    centre: str

    def middle(self, n: int) -> float:
        """Which of `n` cells the rotation centre is in, counted from 0."""
        return (n - 1) / 2 if self.centre == "middle" else n // 2

    @property
    def reach(self) -> float:
        """How far the corners of the image are from its middle."""
        return 0.5 * self.pixel * math.hypot(self.height, self.width)

    @property
    def period(self) -> float:
        """The turn, in degrees, after which a scan measures the same rays: 180 of a parallel beam,
        360 of a fan.
        """
        return 180.0 if self.fan is None else 360.0

    def fan_angles(self, like: Tensor) -> Tensor:
        """gamma_d, the angle of each ray to the middle one, tan gamma_d = s_d / (R + L), in
        radians; zeros for a parallel beam.
        """
        s = self.along_detector(like)
        return torch.zeros_like(s) if self.fan is None else (s / sum(self.fan)).atan()

    @property
    def half_fan(self) -> float:
        """The largest angle to the middle ray under which the image is seen, in radians; 0 for a
        parallel beam.
        """
        if self.fan is None:
            return 0.0
        seen = self.spacing * max(
            self.middle(self.detectors), self.detectors - 1 - self.middle(self.detectors)
        )
        return min(math.asin(self.reach / self.fan[0]), math.atan(seen / sum(self.fan)))

    @property
    def virtual_spacing(self) -> float:
        """The detectors' spacing, as seen at the rotation centre."""
        return self.spacing if self.fan is None else self.spacing * self.fan[0] / sum(self.fan)

    def entries_per_view(self) -> int:
        """About how many entries the matrix of one view has, at most."""
        return math.ceil(2 * self.height * self.width * max(1.0, self.pixel / self.virtual_spacing))

    def along_detector(self, like: Tensor) -> Tensor:
        """s_d."""
        return self.spacing * (
            torch.arange(self.detectors, dtype=like.dtype, device=like.device)
            - self.middle(self.detectors)
        )

    def rays(self, angles: Tensor) -> tuple[Tensor, Tensor]:
        """A point on each ray and its unit direction, (X, Y): (views, detectors, 2)."""
        e = torch.stack([angles.cos(), angles.sin()], -1)[:, None]
        f = torch.stack([-angles.sin(), angles.cos()], -1)[:, None]
        s = self.along_detector(angles)[:, None]
        if self.fan is None:
            return s * e, f.expand(-1, self.detectors, -1)
        source, detector = self.fan
        direction = (source + detector) * f + s * e
        return (-source * f).expand(-1, self.detectors, -1), direction / direction.norm(
            dim=-1, keepdim=True
        )

    def crossings(
        self, points: Tensor, directions: Tensor, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        """Which pixels each ray crosses and the weight of each in Joseph's rule, zero where there
        is none: (rays, steps, 2).
        """
        column, row = (
            self.middle(self.width) + points[..., 0] / self.pixel,
            self.middle(self.height) - points[..., 1] / self.pixel,
        )
        right, down = directions[..., 0], -directions[..., 1]
        by_row = down.abs() >= right.abs()
        major = torch.where(by_row, down, right)
        slope = torch.where(by_row, right, down) / major
        start = torch.where(by_row, column, row) - slope * torch.where(by_row, row, column)
        step = torch.arange(max(self.height, self.width), device=points.device)
        at = start[..., None].to(dtype) + slope[..., None].to(dtype) * step
        near = at.floor()
        rest, near = at - near, near.long()
        by_row, length = by_row[..., None], (self.pixel / major.abs()[..., None]).to(dtype)
        steps, places = (
            torch.where(by_row, self.height, self.width),
            torch.where(by_row, self.width, self.height),
        )
        index, weight = [], []
        for place, share in ((near, 1 - rest), (near + 1, rest)):
            inside = (place >= 0) & (place < places) & (step < steps)
            index.append(
                torch.where(
                    inside,
                    torch.where(by_row, step * self.width + place, place * self.width + step),
                    0,
                )
            )
            weight.append(torch.where(inside, share * length, 0.0))
        return torch.stack(index, -1), torch.stack(weight, -1)

    def weighted(self, y: Tensor) -> Tensor:
        """y, for a fan weighed by the cosine of each ray's angle to the middle one."""
        if self.fan is None:
            return y
        distance = sum(self.fan)
        return y * (distance / (distance**2 + self.along_detector(y) ** 2).sqrt())

    def seen_from(self, angle: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """Where on the detector each pixel is seen, in detectors, and its weight in the
        back-projection: (sets, pixels).
        """
        rows, columns = (
            torch.arange(n, dtype=like.dtype, device=like.device) for n in (self.height, self.width)
        )
        across = (
            (self.pixel * (columns - self.middle(self.width))).expand(self.height, -1).flatten()
        )
        up = (
            (self.pixel * (self.middle(self.height) - rows))[:, None]
            .expand(-1, self.width)
            .flatten()
        )
        cosine, sine = angle.cos()[:, None], angle.sin()[:, None]
        s, weight = across * cosine + up * sine, torch.ones_like(across)
        if self.fan is not None:
            distance = self.fan[0] + up * cosine - across * sine
            s, weight = s * sum(self.fan) / distance, (self.fan[0] / distance) ** 2
        return s / self.spacing + self.middle(self.detectors), weight


def geometry(
    size: int | Sequence[int],
    detectors: int | None,
    spacing: float | None,
    pixel: float,
    fan: Sequence[float] | None,
    centre: str,
) -> Geometry:
    """The scan, with what was left out; raises InvalidInput for lengths that make none."""
    height, width = image_size(size)
    pixel = positive("pixel", pixel, "the side of a pixel, a positive length")
    spacing = (
        None
        if spacing is None
        else positive("spacing", spacing, "the distance between detectors, a positive length")
    )
    reach = 0.5 * pixel * math.hypot(height, width)  # of the image, from its middle
    magnification, around = 1.0, None
    if fan is not None:
        around = distances(fan, reach)
        magnification = sum(around) / around[0]
    spacing = pixel * magnification if spacing is None else spacing
    if detectors is None:
        half = (
            reach if around is None else sum(around) * reach / math.sqrt(around[0] ** 2 - reach**2)
        )
        cells = 2 * half / spacing - 1e-9
        if not cells <= LARGEST_SIDE:
            raise InvalidInput(
                "spacing",
                given=spacing,
                expected=f"at most {LARGEST_SIDE} detectors across an image of {2 * reach:g}",
                advice="check the units",
            )
        detectors = math.ceil(cells)
    detectors = whole("detectors", detectors, "a number of detectors, at least one detector")
    return Geometry(height, width, detectors, spacing, pixel, around, centre)
