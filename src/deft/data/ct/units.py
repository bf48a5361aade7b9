"""Hounsfield units: windows, attenuation, and which values cannot be Hounsfield units.

    HU = 1000 (mu / mu_water - 1):
        air -1000, fat -100, water 0, bone 300 to 2000,
            metal to 31743 (the end of the extended scale)

Slices of a patient hold air or fat, and therefore negative values. Values below AIR_ENDS are no
tissue and no air: scanners store them outside of the field of view.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
from torch import Tensor

from deft.data.arrays import Range
from deft.errors import BadImage, InvalidInput, nearest_names

WINDOWS: dict[str, Range] = {
    "full": (-1000.0, 3000.0),
    "chest": (-1000.0, 400.0),
    "lung": (-1350.0, 150.0),
    "mediastinum": (-125.0, 225.0),
    "abdomen": (-160.0, 240.0),
    "bone": (-500.0, 1300.0),
    "brain": (0.0, 80.0),
}
"""Windows by their names, (low, high) in HU; as usual in radiology, where they are given by level
(low + high) / 2 and width high - low.
"""

AIR = -1000.0
AIR_ENDS = -1500.0
"""Below it, values are padding: reconstruction noise in air does not reach it."""
LARGEST = 32767.0
"""Above it, values are no Hounsfield units; the extended scale of metal ends at 31743."""
_SOFT = -50.0  # fat is at -100: slices whose least value lies above are hardly of a patient
_EMPTY = -300.0  # lung is below, every other tissue above
_NARROWEST = 2.0  # HU; [-1, 1] and [0, 1] are ranges of a prior, not windows


def to_attenuation(hu: Tensor, mu_water: float) -> Tensor:
    """mu = mu_water (1 + HU / 1000)."""
    return _water(mu_water) * (1 + hu / 1000)


def to_hounsfield(mu: Tensor, mu_water: float) -> Tensor:
    """HU = 1000 (mu / mu_water - 1)."""
    return 1000 * (mu / _water(mu_water) - 1)


def _water(mu_water: float) -> float:
    if not (math.isfinite(mu_water) and mu_water > 0):
        raise InvalidInput(
            "mu_water",
            given=mu_water,
            expected="the attenuation of water, > 0",
            advice="use 20 in 1/m, 0.2 in 1/cm",
        )
    return mu_water


def window(name: str | Range) -> Range:
    """A window by its name (`WINDOWS`), or as (low, high) in HU."""
    if isinstance(name, str):
        if name not in WINDOWS:
            known = ", ".join(WINDOWS)
            near = nearest_names(name.lower(), list(WINDOWS)).rstrip("?")
            advice = f"use a name, or two numbers such as (-1000, 400){near}"
            raise InvalidInput(
                "unknown window",
                given=name,
                expected=f"one of {known}, or (low, high) in HU",
                advice=advice,
            )
        return WINDOWS[name]
    try:
        low, high = (float(end) for end in name)
    except (TypeError, ValueError):
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low + _NARROWEST < high):
        raise InvalidInput(
            "window",
            given=name if name is not None else "None",
            expected="(low, high) in Hounsfield units, finite, with low < high, and wider than "
            f"{_NARROWEST:g} HU",
            advice=f"use a name ({', '.join(WINDOWS)}) or two numbers such as (-1000, 400)",
        )
    return low, high


def display(hu: Tensor, through: str | Range) -> Tensor:
    """HU as grey values in [0, 1], seen through a window; beyond it black and white."""
    low, high = window(through)
    return ((hu - low) / (high - low)).clamp(0, 1)


def levels_to_hounsfield(
    images: np.ndarray, air_level: np.ndarray, soft_level: np.ndarray
) -> np.ndarray:
    """Grey values (n, height, width) of which the levels of air (-1000 HU) and of soft tissue (0
    HU) are known, per image, as HU; below air is air.
    """
    air, soft = (
        np.asarray(level, np.float32).reshape(-1, 1, 1) for level in (air_level, soft_level)
    )
    if images.ndim != 3 or len(air) != len(images) or len(soft) != len(images):
        raise InvalidInput(
            f"expected images (n, height, width) and n levels each; got {images.shape}, "
            f"{len(air)} and {len(soft)}."
        )
    usable = (soft > air) & np.isfinite(soft) & np.isfinite(air)
    if not usable.all():
        first = int(np.argmin(usable.ravel()))
        raise InvalidInput(
            f"soft tissue is brighter than air; image {first} has the levels "
            f"{soft[first, 0, 0]:g} and {air[first, 0, 0]:g}."
        )
    return 1000 * (np.clip((images.astype(np.float32) - air) / (soft - air), 0, None) - 1)


def check_kind(dtype: np.dtype) -> None:
    """Raise InvalidInput for a type of numbers that cannot hold Hounsfield units."""
    if dtype in (np.uint8, np.int8):
        raise InvalidInput(
            "8-bit values are no Hounsfield units",
            given=str(dtype),
            expected="Hounsfield units, from -1000 (air) on",
            advice="convert them, from levels that are known with levels_to_hounsfield",
        )
    if not np.issubdtype(dtype, np.number) or np.issubdtype(dtype, np.complexfloating):
        raise InvalidInput("slices", given=str(dtype), expected="numbers in Hounsfield units")


def check_hounsfield(low: float, high: float, whose: str, seen: Range | None = None) -> None:
    """Raise InvalidInput where values from `low` to `high` cannot be Hounsfield units of a patient,
    warn where they hardly can.

    Values that fill a window which itself begins there (`seen`), as those that were cut to it
    before, are left alone; so are constant ones. Raises BadImage for NaN and infinity.
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        raise BadImage(f"{whose} hold NaN or infinite values.")
    if low == high:
        return
    given, expected = (
        f"values in [{low:g}, {high:g}]",
        "Hounsfield units: air -1000, fat -100, water 0, bone to 2000",
    )
    if low >= -2 and high <= 10:
        raise InvalidInput(
            f"{whose} look like attenuations or normalised values, not like Hounsfield units",
            given=given,
            expected=expected,
            advice="convert attenuations with to_hounsfield, and values in [0, 1] or [-1, 1] with "
            "the window that they were scaled by",
        )
    if high > LARGEST:
        raise InvalidInput(
            f"{whose} are beyond every tissue and metal",
            given=given,
            expected=expected,
            advice="set padding to -1000, and apply the rescale slope and intercept to stored "
            "values",
        )
    if seen is not None and seen[0] > _SOFT and seen[0] <= low and high <= seen[1]:
        return
    if low >= 0 and high > 5 * low:
        raise InvalidInput(
            f"{whose} have no air, fat or other negative value: stored values, perhaps, without "
            "their rescale slope and intercept, "
            "grey values, or attenuations",
            given=given,
            expected=expected,
            advice="convert them to HU: stored values with slope and intercept, attenuations with "
            "to_hounsfield, grey values with levels_to_hounsfield",
        )
    if low > _SOFT or high < _EMPTY:
        lacks = "air (-1000) and fat (-100)" if low > _SOFT else "tissue and water (0)"
        warnings.warn(
            f"{whose} are in [{low:g}, {high:g}], without {lacks}: hardly Hounsfield units of a "
            "patient; they are taken as they are.",
            stacklevel=3,
        )
    if seen is not None and (high <= seen[0] or low >= seen[1]):
        warnings.warn(
            f"{whose} are in [{low:g}, {high:g}] HU and the window is [{seen[0]:g}, {seen[1]:g}]: "
            "all of it is beyond the window.",
            stacklevel=3,
        )


def without_padding(hu: np.ndarray) -> tuple[np.ndarray, int]:
    """A copy of HU in which values below AIR_ENDS, outside of the field of view, are air; and how
    many there were.
    """
    copy = np.array(hu, np.float32)
    outside = copy < AIR_ENDS
    copy[outside] = AIR
    return copy, int(outside.sum())


def averaged(hu: np.ndarray, size: int, name: str) -> np.ndarray:
    """Slices (n, height, width), averaged over whole blocks down to size x size. Raises BadImage
    where blocks are not whole.
    """
    n, height, width = hu.shape
    if height != width or height % size:
        of = f" ({name})" if name else ""
        raise BadImage(
            f"slices of {height} x {width}{of} cannot be averaged over whole blocks down to "
            f"{size} x {size}."
        )
    result: np.ndarray = (
        hu.astype(np.float32).reshape(n, size, height // size, size, width // size).mean((2, 4))
    )
    return result


def check_size(size: int | None) -> None:
    """Raise InvalidInput for a `size` that is no number of pixels."""
    if size is not None and (
        isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1
    ):
        raise InvalidInput(
            "size",
            given=size,
            expected="a number of pixels, at least 1",
            advice="leave it out to read slices as they are",
        )
