"""The numbers and names that describe a scan, checked: counts, lengths, the size of an image."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence

from deft.errors import InvalidInput, nearest_names

LARGEST_SIDE = 1 << 16  # pixels, detectors and views
_MOST_PIXELS = 1 << 31  # of an image, and of a sinogram


def whole(what: str, value: object, expected: str, most: int = LARGEST_SIDE) -> int:
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


def image_size(size: int | Sequence[int]) -> tuple[int, int]:
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
