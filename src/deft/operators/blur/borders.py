"""Which blur: how the signal is continued beyond its borders, by name."""

from __future__ import annotations

from torch import Tensor

from deft import checks
from deft.operators.base import LinearOperator
from deft.operators.blur.circular import CircularBlur
from deft.operators.blur.reflect import ReflectBlur


def Blur(kernel: Tensor, border: str = "circular") -> LinearOperator:
    """Convolution with `kernel`, (batch or 1, *size), of one or two axes; `border` is "circular"
    (closed form) or "reflect", which repeats the edge.

    A kernel is a weighted mean: finite, its sum 1. Raises `InvalidInput` for one that is not
    finite, zero or of negative sum, and warns of other sums.
    """
    check_border(border)
    return _BORDERS[border](kernel)


def check_border(border: str) -> None:
    """Raises InvalidInput unless `border` is known."""
    checks.name("border", border, _BORDERS)


_BORDERS: dict[str, type[CircularBlur] | type[ReflectBlur]] = {
    "circular": CircularBlur,
    "reflect": ReflectBlur,
}
