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
import operator
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from deft.errors import InvalidInput, nearest_names

_LARGEST_SIDE = 1 << 16  # pixels, detectors and views
_MOST_PIXELS = 1 << 31  # of an image, and of a sinogram
_FARTHEST = 36_000.0  # degrees: a hundred turns; beyond, single precision does not tell views apart


def views(count: int, span: float = 180.0, start: float = 0.0) -> Tensor:
    """`count` angles in degrees, evenly over [start, start + span): 180 for a parallel beam, 360
    for a fan; less is a limited angle.

    A negative span turns the other way. Raises InvalidInput for counts below 1, a span of 0, and
    numbers that are not finite.
    """
    count = whole("views", count, "the number of views of a scan, at least one view")
    span, start = real("span", span, "degrees, not 0"), real("start", start, "degrees")
    if span == 0:
        raise InvalidInput(
            "span",
            given=span,
            expected="degrees, not 0",
            advice="180 is all of a parallel beam, 360 of a fan",
        )
    if max(abs(span), abs(start)) > _FARTHEST:
        raise InvalidInput(
            "span and start",
            given=(span, start),
            expected=f"degrees, {_FARTHEST:g} (a hundred turns) at most",
        )
    return start + span / count * torch.arange(count, dtype=torch.get_default_dtype())


def checked_angles(angles: Tensor | Sequence[float]) -> Tensor:
    """The angles of a scan, (views,) or (batch, views), in the default precision. Raises
    InvalidInput for radians, and warns where they may be.
    """
    expected = "finite degrees, (views,) or (batch, views)"
    try:
        angles = torch.as_tensor(angles)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidInput("angles are finite degrees", given=angles, expected=expected) from error
    if angles.is_complex() or angles.dtype == torch.bool:
        raise InvalidInput(
            "angles are finite degrees", given=f"values of {angles.dtype}", expected=expected
        )
    if angles.ndim not in (1, 2) or angles.shape[-1] == 0:
        raise InvalidInput(
            "angles are finite degrees", given=f"the shape {tuple(angles.shape)}", expected=expected
        )
    angles = angles.to(torch.get_default_dtype())
    if not bool(angles.isfinite().all()):
        raise InvalidInput(
            "angles are finite degrees",
            given=float(angles[~angles.isfinite()][0]),
            expected=expected,
        )
    if angles.numel() and float(angles.abs().max()) > _FARTHEST:
        raise InvalidInput(
            "angles",
            given=float(angles.abs().max()),
            expected=f"degrees, {_FARTHEST:g} (a hundred turns) at most",
        )
    if angles.shape[-1] > _LARGEST_SIDE:
        raise InvalidInput(
            "angles", given=f"{angles.shape[-1]} views", expected=f"{_LARGEST_SIDE} views at most"
        )
    _check_unit(angles)
    return angles


def _check_unit(angles: Tensor) -> None:
    """Refuse radians: angles within 2 pi, with an eighth of a turn among them (or one step beyond
    the last); warn where all lie within 2 pi.
    """
    if not angles.numel() or not 0 < float(angles.abs().max()) <= 2 * math.pi + 1e-3:
        return
    turn = angles.double().cpu()
    step = (
        (turn[:, -1:] - turn[:, :1]) / max(turn.shape[1] - 1, 1)
        if turn.ndim == 2
        else (turn[-1:] - turn[:1]) / max(len(turn) - 1, 1)
    )
    span = turn[..., -1:] - turn[..., :1] + step
    eighths = torch.cat([turn.flatten(), span.flatten()]).abs() / (math.pi / 4)
    advice = "the angles of a scan are in degrees: use torch.rad2deg(angles)"
    if bool(((eighths > 0.5) & ((eighths - eighths.round()).abs() < 2e-6)).any()):
        raise InvalidInput(
            "angles",
            given=f"{float(turn.min()):.6g} to {float(turn.max()):.6g}, which are radians",
            expected="degrees",
            advice=advice,
        )
    if turn.shape[-1] >= 4:
        warnings.warn(
            f"the {turn.shape[-1]} views of this scan lie within "
            f"{float(turn.max() - turn.min()):.3g} degrees, from {float(turn.min()):.3g} to "
            f"{float(turn.max()):.3g}, which leaves almost nothing to see. If they are radians, "
            f"{advice}.",
            stacklevel=4,
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
    height, width = _image_size(size)
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
        if not cells <= _LARGEST_SIDE:
            raise InvalidInput(
                "spacing",
                given=spacing,
                expected=f"at most {_LARGEST_SIDE} detectors across an image of {2 * reach:g}",
                advice="check the units",
            )
        detectors = math.ceil(cells)
    detectors = whole("detectors", detectors, "a number of detectors, at least one detector")
    return Geometry(height, width, detectors, spacing, pixel, around, centre)


def _image_size(size: int | Sequence[int]) -> tuple[int, int]:
    expected = "the size of an image, (height, width) or one number for both, positive"
    sides: tuple[object, ...]
    try:
        sides = tuple(size)  # type: ignore[arg-type]
    except TypeError:
        sides = (size, size)
    if len(sides) != 2 or isinstance(size, str):
        raise InvalidInput("size", given=size, expected=expected)
    height, width = (whole("size", side, expected) for side in sides)
    if height * width > _MOST_PIXELS:
        raise InvalidInput("size", given=size, expected=f"{_MOST_PIXELS} pixels at most")
    return height, width


def distances(fan: Sequence[float], reach: float = 0.0) -> tuple[float, float]:
    """(source, detector) of a fan around an image that reaches so far. Raises InvalidInput."""
    expected = (
        "(source, detector), distances from the rotation centre; the source must be outside the "
        f"image, farther than {reach:g}, and the "
        "detector at 0 or beyond"
    )
    try:
        source, detector = fan
    except (TypeError, ValueError) as error:
        raise InvalidInput("fan", given=fan, expected=expected) from error
    source, detector = real("fan", source, expected), real("fan", detector, expected)
    if source <= reach or detector < 0:
        raise InvalidInput("fan", given=(source, detector), expected=expected)
    return source, detector


def whole(what: str, value: object, expected: str, most: int = _LARGEST_SIDE) -> int:
    """A count from 1 on, from any kind of integer or a float without a fraction. Raises
    InvalidInput.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        count = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise InvalidInput(what, given=value, expected=f"{expected}, a whole number") from None
    if count < 1:
        raise InvalidInput(what, given=count, expected=expected)
    if count > most:
        raise InvalidInput(what, given=count, expected=f"{expected}, {most} at most")
    return count


def real(what: str, value: object, expected: str) -> float:
    """A finite number. Raises InvalidInput."""
    try:
        if isinstance(value, (bool, str)):
            raise TypeError
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise InvalidInput(what, given=value, expected=expected) from None
    if not math.isfinite(number):
        raise InvalidInput(what, given=number, expected=f"{expected}, finite")
    return number


def positive(what: str, value: object, expected: str) -> float:
    """A number > 0. Raises InvalidInput."""
    number = real(what, value, expected)
    if not number > 0:
        raise InvalidInput(what, given=number, expected=expected)
    return number


def check_name(argument: str, name: object, known: tuple[str, ...]) -> None:
    """Raise InvalidInput for a name that is none of the known ones."""
    if name not in known:
        near = nearest_names(name, list(known)) if isinstance(name, str) else ""
        raise InvalidInput(
            f"unknown {argument} {name!r} of a scan; known: {', '.join(known)}{near}"
        )
