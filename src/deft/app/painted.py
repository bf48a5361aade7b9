"""The mask that was painted over a picture.

The page keeps one number for each pixel of the picture, not of the screen: 1 where the brush was,
that is where the middle of the pixel is within its radius of the line that it was drawn along. It
sends them row by row as a text of 0 and 1. What is painted is missing: the mask, 1 where observed,
is its complement.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from deft.errors import InvalidInput

MOST = 1 << 20  # pixels


def mask(sent: object, height: int, width: int) -> NDArray[np.float32]:
    """The mask (height, width) of what the page sent, 1 where observed. Raises `InvalidInput` where
    nothing is painted, everything is, or it is of another picture.
    """
    painted = _pixels(sent)
    if painted is None or not painted.any():
        raise InvalidInput(
            "mask",
            given="nothing painted",
            expected="what is missing, painted over the picture",
            advice="paint over it with the mouse, or choose another way of measuring",
        )
    if painted.shape != (height, width):
        given = " x ".join(map(str, painted.shape))
        raise InvalidInput(
            "mask", given=f"{given} pixels", expected=f"those of the picture, {height} x {width}"
        )
    if painted.all():
        raise InvalidInput(
            "mask",
            given="all of the picture painted over",
            expected="a part of it that is left",
            advice="take some of the paint away",
        )
    return (~painted).astype(np.float32)


def _pixels(sent: object) -> NDArray[np.bool_] | None:
    """What was painted, (height, width); None for nothing at all."""
    if not sent:
        return None
    bad = InvalidInput("mask", given=type(sent).__name__, expected="what the page paints")
    if not isinstance(sent, Mapping):
        raise bad
    height, width, rows = (sent.get(name) for name in ("height", "width", "painted"))
    if not (type(height) is type(width) is int and isinstance(rows, str)):
        raise bad
    if min(height, width) < 1 or len(rows) > MOST or len(rows) != height * width:
        raise bad
    if set(rows) - {"0", "1"}:
        raise bad
    digits = np.frombuffer(rows.encode(), np.uint8).reshape(height, width)
    return np.equal(digits, ord("1"), dtype=np.bool_)
