"""CT slices as signals in [-1, 1], which is a window of Hounsfield units."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from deft.data.arrays import Range, read_array
from deft.data.ct.dicom import read_series
from deft.data.ct.lodopab import LoDoPaB, lodopab_parts
from deft.data.ct.split import patient_names, split_patients
from deft.data.ct.stacks import Stack, check_values, checked_slice
from deft.data.ct.units import averaged, check_size, window
from deft.errors import BadImage, InvalidInput


@final
class Slices(Dataset[Any]):
    """Axial slices as signals (1, height, width) in [-1, 1], which is the window; what lies beyond
    it becomes its ends.

    `hu` is (n, height, width) in Hounsfield units; `patients` says of each slice whose it is
    (without it, none can be split). `size` averages blocks of pixels down to size x size. Values
    below -1500 HU are padding, and read as air, which is said. Raises InvalidInput for volumes, for
    values that are no Hounsfield units, and for sizes that do not divide.
    """

    def __init__(
        self,
        hu: Stack,
        through: str | Range = "full",
        *,
        patients: Sequence[str] | None = None,
        size: int | None = None,
    ) -> None:
        self.hu, self.window = hu, window(through)
        shape = tuple(getattr(hu, "shape", ()))
        if len(shape) != 3 or 0 in shape:
            what = (
                "a volume of each signal where slices are expected: join the volumes' slices"
                if len(shape) > 3
                else "no stack of slices"
            )
            raise InvalidInput(
                f"expected slices (n, height, width) in Hounsfield units; got the shape {shape}, "
                f"{what}."
            )
        n, height, width = shape
        check_size(size)
        if size is not None and (height != width or height % size):
            raise InvalidInput(
                f"slices of {height} x {width} cannot be averaged over whole blocks down to "
                f"{size} x {size}."
            )
        self.patients = None if patients is None else patient_names(patients, n)
        self.size = size
        self.event_shape = (1, size or height, size or width)
        self._index = np.arange(n)
        check_values(hu, self.window)

    @classmethod
    def read(
        cls,
        path: str | Path,
        through: str | Range = "full",
        *,
        key: str | None = None,
        patients: str | Sequence[str] | None = None,
        size: int | None = None,
    ) -> Slices:
        """Slices in HU from an npy or npz file (under `key`), (n, height, width) or (n, 1, height,
        width); `patients` is a list, or the name of another array of the npz file.
        """
        for name, value in (("key", key), ("patients", patients)):
            if isinstance(value, str) and Path(path).suffix.lower() == ".npy":
                raise InvalidInput(
                    name,
                    given=value,
                    expected="an array of an npz file",
                    advice=f"{path} holds one array without a name",
                )
        whose = read_array(path, patients).tolist() if isinstance(patients, str) else patients
        array = read_array(path, key)
        array = array[:, 0] if array.ndim == 4 and array.shape[1] == 1 else array
        return cls(array, through, patients=whose, size=size)

    @classmethod
    def dicom(
        cls,
        folder: str | Path,
        through: str | Range = "full",
        *,
        size: int | None = None,
        series: str | None = None,
        strict: bool = False,
    ) -> Slices:
        """The slices of the DICOM series below a folder (`read_dicom`), all of one size after
        averaging down to `size`.

        A study of which several series are there is ambiguous: `series` names the one that is
        meant, or "all". Raises InvalidInput where it does not.
        """
        check_size(size)
        found = read_series(folder, series, strict, one_per_study=True)
        parts = [(one.hu if size is None else averaged(one.hu, size, one.name)) for one in found]
        first = parts[0].shape[1:]
        for one, part in zip(found, parts, strict=True):
            if part.shape[1:] != first:
                raise BadImage(
                    f"series {one.name} has slices of {part.shape[1]} x {part.shape[2]} and "
                    f"series {found[0].name} of {first[0]} x {first[1]}; "
                    "say a `size` that divides both."
                )
        patients = [one.patient for one in found for _ in range(len(one.hu))]
        return cls(np.concatenate(parts), through, patients=patients)

    @classmethod
    def lodopab(
        cls,
        folder: str | Path,
        part: str = "train",
        through: str | Range = "full",
        *,
        size: int | None = None,
    ) -> Slices:
        """The ground truth of LoDoPaB-CT: `ground_truth_{part}_*.hdf5`, 362 x 362, with the
        patients of `patient_ids_rand_{part}.csv` if it is there.
        """
        stack = LoDoPaB(Path(folder), part)
        return cls(stack, through, patients=stack.patients(), size=size)

    @classmethod
    def open(
        cls,
        path: str | Path,
        event_shape: Sequence[int],
        through: str | Range,
        *,
        average: bool = False,
        key: str | None = None,
        series: str | None = None,
        strict: bool = False,
    ) -> Slices:
        """The slices at a path, for a prior of this event shape: `read` for an npy or npz file,
        `lodopab` for a folder with files of one of its parts, `dicom` otherwise.

        `average` takes larger slices, and averages them over whole blocks; `key` is for npz files,
        `series` and `strict` for DICOM. Raises BadImage where slices do not fit the prior, and
        InvalidInput for an option that the path has no use for.
        """
        path, wanted = Path(path), tuple(event_shape)
        if len(wanted) != 3 or wanted[0] != 1:
            raise InvalidInput(
                f"CT slices have the shape (1, height, width) and the prior takes {wanted}; give "
                "a prior of one channel."
            )
        size = wanted[1] if average else None
        arrays = path.suffix.lower() in (".npy", ".npz")
        parts = [] if arrays else lodopab_parts(path)
        if key is not None and not arrays:
            raise InvalidInput(
                "key",
                given=key,
                expected="the name of an array of an npz file",
                advice=f"{path} is none; leave it out",
            )
        if series is not None and (arrays or parts):
            raise InvalidInput(
                "series",
                given=series,
                expected="the name of a DICOM series",
                advice=f"{path} holds none; leave it out",
            )
        if len(parts) > 1:
            raise BadImage(
                f"{path} holds the parts {', '.join(parts)} of LoDoPaB-CT; move them to a folder "
                "each, and give one."
            )
        if arrays:
            found = cls.read(path, through, key=key, size=size)
        elif parts:
            found = cls.lodopab(path, parts[0], through, size=size)
        else:
            found = cls.dicom(path, through, size=size, series=series, strict=strict)
        if found.event_shape != wanted:
            height, width = found.event_shape[1:]
            raise BadImage(
                f"{path} holds slices of {height} x {width} and the prior takes {wanted[1]} x "
                f"{wanted[2]}; fit='resize' averages whole blocks down to it."
            )
        return found

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, i: int) -> Tensor:
        low, high = self.window
        return 2 * (self.slice(i)[None].clamp(low, high) - low) / (high - low) - 1

    def slice(self, i: int) -> Tensor:
        """Slice i in Hounsfield units: (height, width), a copy, in which padding is air. Raises
        BadImage where it holds NaN, infinity or no Hounsfield units.
        """
        number = int(self._index[i])
        hu = checked_slice(self.hu, number)
        hu = hu if self.size is None else averaged(hu[None], self.size, "")[0]
        return torch.from_numpy(np.ascontiguousarray(hu))

    def hounsfield(self, x_0: Tensor) -> Tensor:
        """Signals in [-1, 1], in Hounsfield units."""
        low, high = self.window
        return low + (x_0 + 1) * (high - low) / 2

    def take(self, index: Sequence[int]) -> Slices:
        """Some of the slices, by their numbers."""
        chosen = list(index)
        whole = [isinstance(i, (int, np.integer)) and not isinstance(i, bool) for i in chosen]
        wrong = [
            i
            for i, is_whole in zip(chosen, whole, strict=True)
            if not is_whole or not -len(self) <= i < len(self)
        ]
        if wrong:
            raise InvalidInput(
                "take", given=wrong[0], expected=f"numbers of slices, below {len(self)}"
            )
        other: Slices = object.__new__(Slices)
        other.__dict__.update(self.__dict__)
        other._index = self._index[chosen]
        other.patients = None if self.patients is None else [self.patients[i] for i in chosen]
        return other

    def split(self, fractions: Sequence[float], seed: int = 0) -> list[Slices]:
        """Sets with about these fractions of the slices, no patient in two of them; the same for
        the same patients and seed.
        """
        if self.patients is None:
            raise InvalidInput(
                "nobody said whose the slices are; give `patients`, or split by hand with `take`."
            )
        return [self.take(index) for index in split_patients(self.patients, fractions, seed)]
