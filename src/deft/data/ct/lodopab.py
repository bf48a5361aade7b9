"""LoDoPaB-CT: slices of 362 x 362 in HDF5 files, and the patients that they are of.

    mu = value * mu_max,    HU = 1000 (mu - mu_water) / (mu_water - mu_air)

Leuschner et al. 2021, arXiv:1910.01113: attenuations in 1 / m over their largest, which is that of
3071 HU.
"""

from __future__ import annotations

import bisect
import re
import warnings
from pathlib import Path
from typing import final

import numpy as np

from deft.data.ct.extra import extra
from deft.errors import BadImage, nearest_names

_WATER, _AIR = 20.0, 0.02
_LARGEST = 3071 * (_WATER - _AIR) / 1000 + _WATER
_PARTS = ("train", "validation", "test")


def lodopab_parts(folder: Path) -> list[str]:
    """The parts of LoDoPaB-CT in a folder: train, validation, test."""
    return sorted(
        {
            m[1]
            for p in folder.glob("ground_truth_*.hdf5")
            if (m := re.fullmatch(r"ground_truth_(\w+?)_\d+", p.stem))
        }
    )


@final
class LoDoPaB:
    """The HDF5 files of one part of LoDoPaB-CT, as one stack in HU; files are opened when they are
    read.

    Raises BadImage for a part that is not there, and for files that are damaged, of other shapes,
    or hold other values than [0, 1].
    """

    def __init__(self, folder: Path, part: str) -> None:
        self.folder, self.part = folder, part
        numbers = self._numbers()
        self.files = [numbers[k] for k in sorted(numbers)]
        self.complete = sorted(numbers) == list(range(len(numbers)))
        if not self.complete:
            missing = sorted(set(range(max(numbers))) - set(numbers))
            warnings.warn(
                f"{folder} lacks file {missing[0]:03d} of the part {part}, and reads the "
                f"{len(numbers)} others.",
                stacklevel=4,
            )
        self.ends: list[int] = []
        sizes = set()
        for file in self.files:
            shape = _shape(file)
            self.ends.append(shape[0] + (self.ends[-1] if self.ends else 0))
            sizes.add(tuple(shape[1:]))
        if len(sizes) != 1:
            raise BadImage(
                f"{folder} mixes slices of {' and '.join(f'{h} x {w}' for h, w in sorted(sizes))}."
            )
        self.shape = (self.ends[-1], *sizes.pop())

    def _numbers(self) -> dict[int, Path]:
        """The files of the part by their numbers."""
        name = re.compile(rf"ground_truth_{re.escape(str(self.part))}_(\d+)")
        found = [
            (int(m[1]), p)
            for p in sorted(self.folder.glob("ground_truth_*.hdf5"))
            if (m := name.fullmatch(p.stem))
        ]
        if not found:
            there = lodopab_parts(self.folder)
            advice = (
                f"the folder holds {', '.join(there)}"
                if there
                else f"use one of them{nearest_names(str(self.part), list(_PARTS)).rstrip('?')}"
            )
            raise BadImage(
                f"{self.folder} holds no ground_truth_{self.part}_*.hdf5; the parts of LoDoPaB-CT "
                "are train, validation and test",
                advice=advice,
            )
        numbers: dict[int, Path] = {}
        for number, file in found:
            if number in numbers:
                raise BadImage(
                    f"{self.folder} holds file {number} of the part {self.part} twice: "
                    f"{numbers[number].name} and {file.name}."
                )
            numbers[number] = file
        return numbers

    def patients(self) -> list[str] | None:
        """Whose the slices are, by `patient_ids_rand_{part}.csv`, one line for each; None where the
        file is not there.
        """
        table = self.folder / f"patient_ids_rand_{self.part}.csv"
        if not table.exists():
            return None
        try:
            lines = [line.strip() for line in table.read_text(encoding="utf-8-sig").splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise BadImage(f"{table} cannot be read as text ({error}).") from error
        while lines and not lines[-1]:
            lines.pop()
        for number, line in enumerate(lines, 1):
            if (
                not re.fullmatch(r"\w[\w.-]*", line)
                or line.lower() in ("nan", "none")
                or (number == 1 and _titles(lines))
            ):
                raise BadImage(
                    f"{table}, line {number}",
                    given=line or "an empty line",
                    expected="the number of one patient, one line for each slice",
                    advice="lines that are left out would give slices to the wrong patients; "
                    "download the file again",
                )
        count = self.shape[0]
        if len(lines) < count:
            raise BadImage(
                f"{table} says whose {len(lines)} slices are, and {count} are in the folder."
            )
        if not self.complete:
            raise BadImage(
                f"{table} counts slices from file 000 on, and files are missing between those in "
                f"{self.folder}",
                advice="add the missing files, or move the table away to read slices without "
                "their patients",
            )
        return lines[:count]

    def __getitem__(self, i: int) -> np.ndarray:
        h5py = extra("h5py")
        which = bisect.bisect_right(self.ends, i)
        try:
            with h5py.File(self.files[which], "r") as opened:
                relative = np.asarray(
                    opened["data"][i - (self.ends[which - 1] if which else 0)], np.float32
                )
        except (OSError, KeyError, ValueError) as error:
            raise BadImage(f"{self.files[which]} is truncated at slice {i} ({error}).") from error
        low, high = float(relative.min()), float(relative.max())
        if np.isfinite([low, high]).all() and not -0.1 <= low <= high <= 1.1:
            raise BadImage(
                f"{self.files[which]}, slice {i}",
                given=f"values in [{low:g}, {high:g}]",
                expected="attenuations over their largest, in [0, 1]",
                advice="give slices in other units as an npy or npz file in Hounsfield units",
            )
        return (relative * _LARGEST - _WATER) * (1000 / (_WATER - _AIR))


def _titles(lines: list[str]) -> bool:
    """Whether the first line is a title over lines of numbers."""
    return len(lines) > 1 and not lines[0].isdigit() and all(line.isdigit() for line in lines[1:])


def _shape(file: Path) -> tuple[int, ...]:
    h5py = extra("h5py")
    try:
        with h5py.File(file, "r") as opened:
            shape, kind = opened["data"].shape, opened["data"].dtype
    except (OSError, KeyError, AttributeError) as error:
        raise BadImage(
            f"{file} is truncated, or no HDF5 file with a data set 'data' ({error})."
        ) from error
    if len(shape) != 3 or 0 in shape[1:] or kind.kind not in "fiu":
        raise BadImage(
            f"{file} holds data of the shape {shape} and the type {kind}; expected slices (n, "
            "height, width) of numbers."
        )
    return tuple(shape)
