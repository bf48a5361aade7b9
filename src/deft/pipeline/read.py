"""What a user hands in, read: pictures, arrays, tensors, files, and lists of these, as numbers with
the range that they run over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from deft import checks
from deft.data.arrays import INTEGERS, Range, read_array
from deft.data.ct import Slices, holds_slices
from deft.data.ct import window as window_of
from deft.data.nifti import holds_nifti, read_volumes
from deft.errors import BadImage, InvalidInput
from deft.priors.base import Prior
from deft.storage import pictures

_ARRAYS = (".npy", ".npz")


@final
@dataclass(frozen=True)
class Given:
    """What is said of measurements beside their values."""

    operator: object = None
    mask: object = None
    kernel: object = None
    angles: object = None
    invert_mask: bool = False
    sigma_y: float | Tensor | None = None
    value_range: Range | str | None = None
    convert: str | None = None
    window: Range | None = None  # of the card, for DICOM
    sensitivities: object = None  # of coils, for k-space
    fft: str | None = None
    slice: str | None = None  # of NIfTI volumes


@final
@dataclass(frozen=True)
class Read:
    """Values of one item as they are, channels first where it is a picture, and their range; None:
    the prior's.
    """

    values: Tensor
    range: Range | None
    what: str
    array: bool = False  # whose channels may be last


def items(measurements: object, shape: Sequence[int], given: Given) -> list[Read]:
    """What is read of measurements whose own shape is `shape`; a list gives its items in order.
    Raises `InvalidInput` for values of another kind, and `BadImage` for files that cannot be read.
    """
    if given.slice is not None and not _all_nifti(measurements):
        raise _idle("slice", given.slice, "these measurements are no NIfTI files")
    if isinstance(measurements, (list, tuple)):
        if not measurements:
            raise InvalidInput("measurements", given="an empty list", expected="at least one")
        if any(isinstance(one, (list, tuple, float, int)) for one in measurements):
            raise InvalidInput(
                "measurements",
                given="a list of numbers or lists",
                expected="arrays, pictures or paths",
                advice="make an array of them: numpy.asarray(...)",
            )
        return [found for one in measurements for found in items(one, shape, given)]
    if isinstance(measurements, (str, Path)):
        return _file(Path(measurements).expanduser(), shape, given)
    if isinstance(measurements, Tensor):
        return [_numbers(measurements.detach().cpu(), given, "measurements")]
    if isinstance(measurements, np.ndarray):
        return [_array(measurements, given, "measurements")]
    if hasattr(measurements, "getbands"):  # a picture of Pillow
        return [_picture(measurements, Path("the picture"), shape, given)]
    raise InvalidInput(
        "measurements",
        given=type(measurements).__name__,
        expected="a picture, an array, a tensor, a path (picture, npy, npz, DICOM, NIfTI), "
        "or a list of these",
    )


def _file(path: Path, shape: Sequence[int], given: Given) -> list[Read]:
    if not path.exists():
        raise BadImage(f"measurements: {path} does not exist.")
    if holds_nifti(path):
        return _volumes(path, given)
    if holds_slices(path):
        return [_slices(path, given)]
    if path.is_dir():
        files = pictures.found(path, "measurements", (*_ARRAYS, *pictures.SUFFIXES))
        return [found for file in files for found in _file(file, shape, given)]
    if path.suffix.lower() in _ARRAYS:
        return [_array(np.asarray(read_array(path)), given, str(path))]
    try:
        return [_picture(pictures.decoded(path), path, shape, given)]
    except pictures.Unreadable as error:
        raise BadImage(str(error)) from error


def _all_nifti(measurements: object) -> bool:
    each = measurements if isinstance(measurements, (list, tuple)) else [measurements]
    return all(isinstance(one, (str, Path)) and holds_nifti(Path(one).expanduser()) for one in each)


def _volumes(path: Path, given: Given) -> list[Read]:
    """Slices of volumes: numbers over value_range, or, of a problem with a window, in Hounsfield
    units cut to it.
    """
    if given.convert is not None:
        raise _idle("convert", given.convert, f"{path} holds slices of volumes")
    found = [one for slices in read_volumes(path, given.slice).values() for one in slices]
    stack = np.stack([one.values for one in found])
    if given.window is None:
        return [_numbers(torch.from_numpy(one)[None], given, str(path)) for one in stack]
    return [_hounsfield(Slices(stack, window_of(given.value_range or given.window)), path)]


def _slices(path: Path, given: Given) -> Read:
    """DICOM slices in Hounsfield units, cut to the window."""
    if given.convert is not None:
        raise _idle("convert", given.convert, f"{path} holds CT slices")
    through = given.value_range or given.window
    if through is None:
        raise InvalidInput(
            "value_range",
            given="nothing",
            expected=f"what the range of the prior means in Hounsfield units: {path} holds CT "
            "slices",
            advice="say the window, such as value_range=(-1000, 1500) or 'chest'",
        )
    return _hounsfield(Slices.dicom(path, window_of(through)), path)


def _hounsfield(slices: Slices, path: Path) -> Read:
    hu = torch.stack([slices.hounsfield(slices[i]) for i in range(len(slices))])
    return Read(hu, slices.window, str(path))


def _picture(image: Any, path: Path, shape: Sequence[int], given: Given) -> Read:
    from PIL import ImageOps

    if len(shape) != 3 or shape[0] not in (1, 3):
        raise InvalidInput(
            "measurements",
            given="a picture",
            expected=f"arrays of shape {tuple(shape)}, what this problem measures",
        )
    if given.value_range is not None:
        raise _idle("value_range", given.value_range, "whole numbers run over their type")
    upright = pictures.with_channels(path, ImageOps.exif_transpose(image), shape[0], given.convert)
    return _array(pictures.array(upright, shape[0]), Given(), str(path))


def _array(array: np.ndarray[Any, Any], given: Given, what: str) -> Read:
    if array.dtype.kind not in "fui":
        raise InvalidInput(
            what,
            given=f"values of {array.dtype}",
            expected="floating-point, uint8 or uint16 values",
        )
    name = array.dtype.name
    if array.dtype.kind == "f":
        return _numbers(torch.from_numpy(np.array(array, np.float32)), given, what, array=True)
    if name not in INTEGERS:
        raise InvalidInput(
            what,
            given=f"values of {name}",
            expected="floating-point, uint8 or uint16 values: of others the range is not known",
            advice="use array.astype(float), and say value_range",
        )
    if given.value_range is not None:
        raise _idle("value_range", given.value_range, "whole numbers run over their type")
    if given.convert is not None:
        raise _idle("convert", given.convert, "arrays are not converted")
    if name == "uint16":
        pictures.warn_if_dark(int(array.max(initial=0)), f"the 16-bit {what}")
    return Read(torch.from_numpy(array.astype(np.float32)), INTEGERS[name], what, array=True)


def _numbers(values: Tensor, given: Given, what: str, array: bool = False) -> Read:
    if not values.is_floating_point():
        return _array(values.numpy(), given, what)
    if given.convert is not None:
        raise _idle("convert", given.convert, "arrays are not converted")
    said = given.value_range
    if isinstance(said, str):
        said = window_of(said)
    if said is not None:
        said = checks.finite_range("value_range", said, "the range of the measurements")
    return Read(values, said, what, array)


def _idle(name: str, value: object, why: str) -> InvalidInput:
    return InvalidInput(name, given=value, expected=f"nothing: {why}", advice=f"leave `{name}` out")


def rows(read: Read, shape: tuple[int, ...], prior: Prior) -> Tensor:
    """(n, *shape): an axis that counts measurements is added where it was left out, and so is the
    channel where there is one; the channels of an array may be last.
    """
    y = read.values
    found = _fitting(y, shape)
    if found is None and read.array and len(shape) == 3 and y.ndim in (3, 4):
        found = _fitting(y.movedim(-1, -3), shape)
    if found is not None and len(found):
        return found
    larger = len(shape) == 3 and shape == tuple(prior.signal_shape) and y.ndim >= 2
    size = tuple(y.shape[-2:]) if larger else ()
    advice = ""
    if larger and size != shape[1:] and all(a >= b for a, b in zip(size, shape[1:])):
        advice = (
            f"cut it, or draw it by tiles: pipe.tiled({(shape[0], *size)}), with the mask, kernel "
            "or operator of the whole picture"
        )
    raise InvalidInput(
        read.what,
        given=f"shape {tuple(y.shape)}",
        expected=f"{shape}, what this problem measures, or (n, {', '.join(map(str, shape))})",
        advice=advice,
    )


def _fitting(y: Tensor, shape: tuple[int, ...]) -> Tensor | None:
    for own in (shape, shape[1:]) if shape[:1] == (1,) else (shape,):
        if tuple(y.shape) == own:
            return y.reshape(1, *shape)
        if tuple(y.shape[1:]) == own:
            return y.reshape(-1, *shape)
    return None
