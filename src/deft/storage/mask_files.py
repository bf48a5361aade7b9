"""Masks out of pictures and arrays in files: (height, width), 1 where observed.

A picture comes through the decoder of `deft.storage.pictures`; an npy file, or an npz file of one
array, holds the values themselves.
"""

from __future__ import annotations

import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deft.errors import BadImage
from deft.storage.pictures import SUFFIXES, Unreadable, array, decoded, transparent

MASKS = (".npy", ".npz", *SUFFIXES)
_GREY = 0.05  # the share of in-between values of a mask that is worth a word
_MOSTLY_GREY = 0.5  # above it a picture is no mask


def mask(path: str | Path, invert: bool = False, rows: int | None = None) -> NDArray[np.float32]:
    """The mask in a picture or an npy file, (height, width): 1 where observed.

    Observed is what is white (at least half of the brightness; in a file of 0 and 1 what is 1), or
    what is opaque where the picture has transparent places; `invert` turns it round. Where `rows`
    is given, an array (width,) says which columns are observed, in so many rows. Raises `BadImage`
    for what cannot be read, where nothing at all is observed, and where most values lie
    in between; warns where everything is, and where many values lie in between.
    """
    path = Path(path)
    return _observed(f"the mask {path}", _mask_values(path, rows), invert)


def mask_of(value: Any, invert: bool = False) -> NDArray[np.float32]:
    """The same of a picture of Pillow or of an array, (height, width)."""
    values = (
        _array_values("the mask", np.squeeze(value), _full_scale(np.squeeze(value)))
        if isinstance(value, np.ndarray)
        else _picture_values("the mask", value)
    )
    return _observed("the mask", values, invert)


def _observed(what: str, values: NDArray[np.float64], invert: bool) -> NDArray[np.float32]:
    """The values of a mask, thresholded."""
    between = float(((values > 0.02) & (values < 0.98)).mean())
    if between > _MOSTLY_GREY:
        raise BadImage(
            what,
            given=f"values between black and white at {between:.0%} of the places",
            expected="white (1) where observed, black (0) where missing",
            advice="a photograph is no mask: save one of two values",
        )
    if between > _GREY:
        warnings.warn(
            f"{between:.0%} of {what} are grey; at least half of the brightness counts "
            "as observed.",
            stacklevel=4,
        )
    observed = values >= 0.5
    observed = ~observed if invert else observed
    if not observed.any():
        raise BadImage(
            what,
            given="no place that is observed",
            expected="white (1) where observed, black (0) where missing",
            advice="use invert=True if it is the other way round",
        )
    if observed.all():
        warnings.warn(f"by {what} every place is observed: nothing is missing.", stacklevel=4)
    return observed.astype(np.float32)


def _mask_values(path: Path, rows: int | None = None) -> NDArray[np.float64]:
    """The brightness of each place, in [0, 1]."""
    if not path.exists():
        raise BadImage(f"{path} does not exist.")
    if path.suffix.lower() in (".npy", ".npz"):
        values = np.squeeze(_only_array(path))
        if rows is not None and values.ndim == 1:
            values = np.repeat(values[None], rows, axis=0)
        return _array_values(f"the mask {path}", values, _full_scale(values))
    try:
        image = decoded(path)
    except Unreadable as error:
        raise BadImage(str(error)) from error
    return _picture_values(f"the mask {path}", image)


def _picture_values(what: str, image: Any) -> NDArray[np.float64]:
    """The opacity of each place where some are transparent, the brightness otherwise."""
    alpha = transparent(image)
    if alpha is not None:
        return np.asarray(alpha, dtype=np.float64) / 255
    values = array(image if image.mode.startswith("I;16") else image.convert("L"))[0]
    return _array_values(what, values, 65535.0 if values.dtype == np.uint16 else 255.0)


def _array_values(what: str, values: NDArray[Any], full: float) -> NDArray[np.float64]:
    """Values whose white is `full`, or 1 where none is larger."""
    if (
        values.ndim != 2
        or (not np.issubdtype(values.dtype, np.number) and values.dtype != bool)
        or np.iscomplexobj(values)
    ):
        raise BadImage(
            what,
            given=f"{values.dtype} values of shape {values.shape}",
            expected="one number a place, (height, width)",
        )
    values = values.astype(np.float64)
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > full:
        raise BadImage(
            what,
            given=f"values in [{values.min():g}, {values.max():g}]",
            expected=f"0 and 1, or 0 to {full:g}",
        )
    return values if values.max() <= 1 else values / full


def _only_array(path: Path) -> NDArray[Any]:
    """The array of an npy file, or the only one of an npz file."""
    try:
        found: NDArray[Any] | np.lib.npyio.NpzFile[Any] = np.load(path, allow_pickle=False)
        if not isinstance(found, np.lib.npyio.NpzFile):
            return found
        with found as arrays:
            if len(arrays.files) != 1:
                raise BadImage(
                    f"the mask {path}",
                    given=f"{len(arrays.files)} arrays ({', '.join(arrays.files)})",
                    expected="one array",
                )
            return arrays[arrays.files[0]]
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise BadImage(f"{path} is truncated, or no npy or npz file of numbers: {error}") from error


def _full_scale(values: NDArray[Any]) -> float:
    """What stands for white in an array: the largest number of its type, 1, or, where there are two
    values only, 0 and 255 (or 65535), the larger.
    """
    full = {"uint8": 255.0, "uint16": 65535.0}.get(values.dtype.name, 1.0)
    if np.issubdtype(values.dtype, np.number) and not np.iscomplexobj(values) and values.size:
        most = float(values.max())
        if most in (255.0, 65535.0) and bool(np.isin(values, (0, most)).all()):
            return most
    return full
