"""Slices of NIfTI volumes (.nii, .nii.gz), by nibabel (the extra `nifti`).

    value = scl_slope stored + scl_inter

The volume is brought to the axes of the body nearest to its own (its affine says them), and a slice
is shown as DICOM has it: an axial one with the patient's right at its left and the front at its
top, a coronal one with the right at its left and the head at its top, a sagittal one with the
front at its left and the head at its top. Nothing is resampled.

Slices are named AXIS:NUMBER, AXIS:FIRST-LAST (both of them too), or AXIS (all), counted from 0 at
the feet, the back or the left; without an axis they are axial.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, final

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset, Subset

from deft.data.arrays import Arrays, Range
from deft.data.ct import Slices, split_patients
from deft.errors import BadImage, InvalidInput
from deft.storage import pictures

SUFFIXES = (".nii", ".nii.gz")
AXES = {"sagittal": 0, "coronal": 1, "axial": 2}
_MAY_BE = "AXIS:NUMBER, such as axial:40, AXIS:FIRST-LAST, or AXIS for all of them"
_WORDS = re.compile(rf"(?:({'|'.join(AXES)})(?::|$))?(?:(\d+)(?:-(\d+))?)?")


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


def holds_nifti(path: str | Path) -> bool:
    """Whether a path is a NIfTI file, or a folder of NIfTI files without pictures and arrays."""
    path = Path(path)
    if not path.is_dir():
        return is_nifti(path)
    found = False
    for file in pictures.visible(path):
        if file.suffix.lower() in (*pictures.SUFFIXES, ".npy", ".npz"):
            return False
        found = found or is_nifti(file)
    return found


def read_volumes(path: str | Path, slice: str | int | None = None) -> dict[str, list[NiftiSlice]]:
    """The slices of a NIfTI file, or of all in a folder, by the name of each; as `read_nifti`.
    Raises `BadImage` where they have several sizes.
    """
    path = Path(path)
    files = sorted(filter(is_nifti, pictures.visible(path))) if path.is_dir() else [path]
    found = {}
    for file in files:
        inside = file.relative_to(path) if path.is_dir() else Path(file.name)
        name = inside.as_posix().replace("/", "-")
        suffix = next(s for s in reversed(SUFFIXES) if name.lower().endswith(s))
        found[name[: -len(suffix)]] = read_nifti(file, slice)
    sizes = {slices[0].values.shape: name for name, slices in found.items()}
    if len(sizes) > 1:
        (one, first), (other, second) = list(sizes.items())[:2]
        raise BadImage(
            str(path),
            given=f"slices of {one[0]} x {one[1]} (height x width) in {first} and of {other[0]} x "
            f"{other[1]} in {second}",
            expected="volumes whose slices have one size",
        )
    return found


def read_nifti(path: str | Path, slice: str | int | None = None) -> list[NiftiSlice]:
    """Slices of a volume; of a file of one slice (its last axis 1) the name may be left out.

    Raises `InvalidInput` where nibabel is not installed, where a volume needs a slice and where
    there is none of that number, and `BadImage` for a file that is damaged, or no volume of real
    numbers.
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
    axis, numbers = _place(path, values.shape, slice)
    across, down = (s for k, s in enumerate(spacing) if k != AXES[axis])
    return [
        NiftiSlice(_shown(path, values, axis, number), (down, across), orientation, axis, number)
        for number in numbers
    ]


def _shown(path: Path, values: np.ndarray[Any, Any], axis: str, number: int) -> Any:
    cut = np.take(values, number, axis=AXES[axis])
    shown = cut[:, ::-1].T if axis != "axial" else cut[::-1, ::-1].T
    shown = shown[:, ::-1] if axis != "axial" else shown
    if not np.isfinite(shown).all():
        raise BadImage(f"{path}, {axis} slice {number}, holds NaN or infinite values.")
    return np.ascontiguousarray(shown)


@final
class Volumes(Dataset[Any]):
    """Slices of volumes as signals (1, height, width), each with its name and its volume's, so that
    no volume is in two sets of a `split`.

    Values run over `values`, or over the prior's range; with a `window` they are Hounsfield units,
    cut to it (`deft.data.ct.Slices`), and `average` takes blocks of pixels together.
    """

    def __init__(
        self,
        path: str | Path,
        event_shape: Sequence[int],
        value_range: Range | None,
        slice: str | None = None,
        *,
        values: Range | None = None,
        window: str | Range | None = None,
        average: bool = False,
    ) -> None:
        found = read_volumes(path, slice)
        stack = np.stack([one.values for slices in found.values() for one in slices])
        self.patients = [name for name, slices in found.items() for _ in slices]
        self.names = [
            f"{name}-{one.axis}-{one.number}" for name, slices in found.items() for one in slices
        ]
        wanted = tuple(event_shape)
        self._data: Dataset[Any]
        size = stack.shape[1:]
        if window is not None:
            hu = Slices(stack, window, size=wanted[-1] if average else None)
            self._data, size = hu, hu.event_shape[1:]
        if (1, *size) != wanted:
            raise BadImage(
                str(path),
                given=f"slices of {size[0]} x {size[1]} (height x width)",
                expected=f"the shape of the signals, {wanted}",
                advice="nothing is resampled here: resample the volume, or save its slices as npy; "
                "with a window fit='resize' averages whole blocks",
            )
        if window is None:
            self._data = Arrays(stack[:, None], event_shape, value_range, values=values)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, i: int) -> Tensor:
        signal: Tensor = self._data[i]
        return signal

    def split(self, fractions: Sequence[float], seed: int = 0) -> list[Subset[Any]]:
        """Sets with about these fractions of the slices, no volume in two of them."""
        return [Subset(self, index) for index in split_patients(self.patients, fractions, seed)]


def open_nifti(
    path: str | Path,
    event_shape: Sequence[int],
    value_range: Range | None,
    slice: str | None,
    values: Range | None,
    window: str | Range | None,
    default_window: Range | None,
    fit: str | None,
    idle: Mapping[str, object],
) -> Volumes:
    """Slices as signals: in Hounsfield units cut to `window`, or to `default_window` where no range
    is given by `values`. Raises `InvalidInput` for a path that is no NIfTI file, and for options
    without use (`idle`).
    """
    if not holds_nifti(path):
        raise InvalidInput(
            "slice",
            given=slice,
            expected=f"nothing: {path} is no NIfTI file, nor a folder of them",
            advice="leave `slice` out",
        )
    through = window if window is not None or values is not None else default_window
    alone = {
        **idle,
        "fit": None if through is not None and fit == "resize" else fit,
        "value_range": None if window is None else values,
    }
    for name, value in alone.items():
        if value is not None:
            raise InvalidInput(
                name,
                given=value,
                expected=f"nothing: {path} is NIfTI, whose values are taken as they are",
                advice=f"leave `{name}` out; value_range says what black and white are, window "
                "what the range is in Hounsfield units",
            )
    if through is not None and tuple(value_range or ()) != (-1.0, 1.0):
        raise InvalidInput(
            "window",
            given=through,
            expected=f"a prior of [-1, 1], to which it is mapped; this one takes {value_range}",
        )
    return Volumes(
        path,
        event_shape,
        value_range,
        slice,
        values=values,
        window=through,
        average=fit == "resize",
    )


def _place(
    path: Path, shape: tuple[int, ...], slice: str | int | None
) -> tuple[str, Sequence[int]]:
    """Which slices are meant: their axis and numbers."""
    if slice is None:
        flat = [name for name, axis in AXES.items() if shape[axis] == 1]
        if len(flat) == 1:
            return flat[0], [0]
        counts = ", ".join(f"{shape[axis]} {name}" for name, axis in AXES.items())
        raise InvalidInput(
            "slice",
            given=f"nothing: {path} is a volume",
            expected=f"which of its slices ({counts}): {_MAY_BE}",
        )
    said = _WORDS.fullmatch(str(slice))
    if said is None or not str(slice):
        raise InvalidInput("slice", given=slice, expected=_MAY_BE)
    axis, first, last = said.groups()
    axis = axis or "axial"
    if first is None and ":" in str(slice):
        raise InvalidInput("slice", given=slice, expected=_MAY_BE)
    most = shape[AXES[axis]] - 1
    low, high = int(first or 0), int(last or first or most)
    if not low <= high <= most:
        raise InvalidInput(
            "slice", given=slice, expected=f"{axis} slices from 0 to {most} of {path}"
        )
    return axis, range(low, high + 1)
