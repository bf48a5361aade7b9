"""Stacks of slices, in memory or in files: their values are checked to be Hounsfield units."""

from __future__ import annotations

import warnings
from typing import Any, Protocol

import numpy as np

from deft.data.ct.units import AIR_ENDS, LARGEST, check_hounsfield, check_kind, without_padding
from deft.errors import BadImage

_LOOKED_AT = 64  # slices of a stack in files, to find values that cannot be Hounsfield units
_IN_MEMORY = 1 << 26  # values, up to which all slices are looked at


class Stack(Protocol):
    """Slices in HU, (n, height, width), read when they are asked for."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, i: int, /) -> Any: ...


def check_values(stack: Stack, through: tuple[float, float]) -> None:
    """Raise where values cannot be Hounsfield units, and say what is padding: of all slices in
    memory, of some of those in files.
    """
    n = stack.shape[0]
    in_memory = (
        isinstance(stack, np.ndarray)
        and not isinstance(stack, np.memmap)
        and stack.size <= _IN_MEMORY
    )
    some = range(n) if in_memory else np.unique(np.linspace(0, n - 1, _LOOKED_AT).round())
    check_kind(np.asarray(stack[0]).dtype)
    extremes, padding, where = [], 0, -1
    for i in some:
        values, outside = without_padding(stack[int(i)])
        if np.isfinite(values).all():  # another is an error when it is asked for
            extremes.append((float(values.min()), float(values.max())))
        if outside and not padding:
            where = int(i)
        padding += outside
    if not extremes:
        raise BadImage("the slices hold NaN or infinite values.")
    check_hounsfield(
        min(low for low, _ in extremes),
        max(high for _, high in extremes),
        "the slices",
        through,
    )
    if padding:
        warnings.warn(
            f"{padding} values below {AIR_ENDS:g} HU (the first in slice {where}) are padding "
            "outside of the field of view; they are read as air.",
            stacklevel=3,
        )


def checked_slice(stack: Stack, number: int) -> np.ndarray:
    """One slice, in which padding is air. Raises BadImage where it holds NaN, infinity or no
    Hounsfield units.
    """
    hu, _ = without_padding(stack[number])
    if not np.isfinite(hu).all():
        raise BadImage(f"slice {number} holds NaN or infinite values.")
    if float(hu.max()) > LARGEST:
        raise BadImage(
            f"slice {number}",
            given=f"{float(hu.max()):g} HU",
            expected="at most 31743 HU, that of metal",
            advice="set padding to -1000",
        )
    return hu
