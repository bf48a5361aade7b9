"""Slices of NIfTI volumes (.nii, .nii.gz), by nibabel (the extra `nifti`).

    value = scl_slope stored + scl_inter

The volume is brought to the axes of the body nearest to its own (its affine says them), and a slice
is shown as DICOM has it: an axial one with the patient's right at its left and the front at its
top, a coronal one with the right at its left and the head at its top, a sagittal one with the
front at its left and the head at its top. Nothing is resampled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, final

import numpy as np

from deft.data.arrays import Arrays, Range
from deft.errors import BadImage, InvalidInput

SUFFIXES = (".nii", ".nii.gz")
AXES = {"sagittal": 0, "coronal": 1, "axial": 2}
_MAY_BE = "AXIS:NUMBER, such as axial:40, or a number of an axial slice"


@final
@dataclass(frozen=True)
class NiftiSlice:
    """One slice, (height, width) in the units of the file; `spacing` is (down, across) in mm, and
    `orientation` what the axes of the volume were in the file (R, A, S: to the right, the front,
    the head).
    """

    values: np.ndarray[Any, Any]
    spacing: tuple[float, float]
    orientation: str
    axis: str
    number: int


def is_nifti(path: str | Path) -> bool:
    """Whether a file is called as NIfTI files are."""
    return str(path).lower().endswith(SUFFIXES)


def read_nifti(path: str | Path, slice: str | int | None = None) -> NiftiSlice:
    """One slice of a volume; of a file of one slice (its last axis 1) it may be left out.

    `slice` is AXIS:NUMBER, counted from 0 at the feet, the back or the left. Raises `InvalidInput`
    where nibabel is not installed, where a volume needs a slice and where there is none of that
    number, and `BadImage` for a file that is damaged, or no volume of real numbers.
    """
    path = Path(path)
    try:
        nibabel = import_module("nibabel")
    except ImportError as error:
        raise InvalidInput(
            str(path),
            given="a NIfTI file, and nibabel is not installed",
            expected="the extra nifti",
            advice="pip install deft-diffusion[nifti]",
        ) from error
    if not path.is_file():
        raise BadImage(f"{path} does not exist.")
    try:
        image = nibabel.load(path)
        orientation = "".join(nibabel.aff2axcodes(image.affine))
        upright = nibabel.as_closest_canonical(image)
        values = np.asarray(upright.get_fdata(dtype=np.float32))
        spacing = [float(s) for s in upright.header.get_zooms()[:3]]
    except Exception as error:  # nibabel raises errors of its own, of zlib and of the header
        if isinstance(error, MemoryError):
            raise
        raise BadImage(f"{path} is damaged, or no NIfTI file: {error}") from error
    while values.ndim > 3 and values.shape[-1] == 1:
        values = values[..., 0]
    if values.ndim != 3:
        raise BadImage(
            f"{path} has an array of shape {values.shape}; expected one volume of three axes: save "
            "one of its times or channels"
        )
    axis, number = _place(path, values.shape, slice)
    cut = np.take(values, number, axis=AXES[axis])
    shown = cut[:, ::-1].T if axis != "axial" else cut[::-1, ::-1].T
    shown = shown[:, ::-1] if axis != "axial" else shown
    across, down = (s for k, s in enumerate(spacing) if k != AXES[axis])
    if not np.isfinite(shown).all():
        raise BadImage(f"{path}, {axis} slice {number}, holds NaN or infinite values.")
    return NiftiSlice(np.ascontiguousarray(shown), (down, across), orientation, axis, number)


def open_nifti(
    path: str | Path,
    event_shape: Sequence[int],
    value_range: Range | None,
    slice: str | None,
    values: Range | None,
    idle: Mapping[str, object],
) -> Arrays:
    """One slice as a signal, (1, *event_shape), its values in the range `values`. Raises
    `InvalidInput` for a path that is no NIfTI file, and for options without use (`idle`).
    """
    if not is_nifti(path):
        raise InvalidInput(
            "slice",
            given=slice,
            expected=f"nothing: {path} is no NIfTI file",
            advice="leave `slice` out",
        )
    for name, value in idle.items():
        if value is not None:
            raise InvalidInput(
                name,
                given=value,
                expected=f"nothing: {path} is a NIfTI file, whose values are taken as they are",
                advice=f"leave `{name}` out; value_range says what black and white are",
            )
    return Arrays(
        read_nifti(path, slice).values[None, None], event_shape, value_range, values=values
    )


def _place(path: Path, shape: tuple[int, ...], slice: str | int | None) -> tuple[str, int]:
    if slice is None:
        flat = [name for name, axis in AXES.items() if shape[axis] == 1]
        if len(flat) == 1:
            return flat[0], 0
        counts = ", ".join(f"{shape[axis]} {name}" for name, axis in AXES.items())
        raise InvalidInput(
            "slice",
            given=f"nothing: {path} is a volume",
            expected=f"which of its slices ({counts}): {_MAY_BE}",
        )
    axis, _, last = str(slice).rpartition(":")
    axis = axis or "axial"
    if axis not in AXES or not last.isdecimal():
        raise InvalidInput("slice", given=slice, expected=_MAY_BE)
    number, most = int(last), shape[AXES[axis]]
    if number >= most:
        raise InvalidInput(
            "slice", given=slice, expected=f"an {axis} slice from 0 to {most - 1} of {path}"
        )
    return axis, number
