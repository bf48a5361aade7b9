"""Computed tomography: slices in Hounsfield units, from DICOM series, LoDoPaB-CT and arrays.

    HU = 1000 (mu / mu_water - 1),    x_0 = 2 (clip(HU, low, high) - low) / (high - low) - 1

The window [low, high] says what a prior's [-1, 1] means; the operator behind it takes attenuation mu (deft.operators.hounsfield, deft.problems.Tomography).
Sets are split by patient, so that no patient is in both.
"""

from __future__ import annotations

import bisect
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, final

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from deft.data.arrays import Range, read_array
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
"""Windows by their names, (low, high) in HU; as usual in radiology, where they are given by level (low + high) / 2 and width high - low."""

# Leuschner et al. 2021, arXiv:1910.01113: attenuations in 1 / m over their largest, which is that of 3071 HU
_LODOPAB_WATER, _LODOPAB_AIR = 20.0, 0.02
_LODOPAB_LARGEST = 3071 * (_LODOPAB_WATER - _LODOPAB_AIR) / 1000 + _LODOPAB_WATER


def to_attenuation(hu: Tensor, mu_water: float) -> Tensor:
    """mu = mu_water (1 + HU / 1000)."""
    return mu_water * (1 + hu / 1000)


def to_hounsfield(mu: Tensor, mu_water: float) -> Tensor:
    """HU = 1000 (mu / mu_water - 1)."""
    return 1000 * (mu / mu_water - 1)


def window(name: str | Range) -> Range:
    """A window by its name (`WINDOWS`), or as (low, high) in HU."""
    if isinstance(name, str):
        if name not in WINDOWS:
            raise InvalidInput(f"unknown window {name!r}; known: {', '.join(WINDOWS)}{nearest_names(name, list(WINDOWS))}")
        return WINDOWS[name]
    if not name[0] < name[1]:
        raise InvalidInput(f"a window is (low, high) in Hounsfield units with low < high; got {tuple(name)}.")
    return float(name[0]), float(name[1])


def display(hu: Tensor, through: str | Range) -> Tensor:
    """HU as grey values in [0, 1], seen through a window; beyond it black and white."""
    low, high = window(through)
    return ((hu - low) / (high - low)).clamp(0, 1)


def levels_to_hounsfield(images: np.ndarray, air_level: np.ndarray, soft_level: np.ndarray) -> np.ndarray:
    """Grey values (n, height, width) of which the levels of air (-1000 HU) and of soft tissue (0 HU) are known, per image, as HU; below air is air."""
    air, soft = (np.asarray(level, np.float32).reshape(-1, 1, 1) for level in (air_level, soft_level))
    if images.ndim != 3 or len(air) != len(images) or len(soft) != len(images):
        raise InvalidInput(f"expected images (n, height, width) and n levels each; got {images.shape}, {len(air)} and {len(soft)}.")
    if not (soft > air).all():
        first = int(np.argmax((soft <= air).ravel()))
        raise InvalidInput(
            f"soft tissue is brighter than air; image {first} has the levels {soft[first, 0, 0]:g} and {air[first, 0, 0]:g}."
        )
    return 1000 * (np.clip((images.astype(np.float32) - air) / (soft - air), 0, None) - 1)


class _Stack(Protocol):
    """Slices in HU, (n, height, width), read when they are asked for."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, i: int, /) -> Any: ...


@final
class Slices(Dataset):
    """Axial slices as signals (1, height, width) in [-1, 1], which is the window; what lies beyond it becomes its ends.

    `hu` is (n, height, width) in Hounsfield units; `patients` says of each slice whose it is (without it, none can be split). `size` averages blocks of
    pixels down to size x size. Raises InvalidInput for volumes, for values that are no Hounsfield units, and for sizes that do not divide.
    """

    def __init__(
        self, hu: _Stack, through: str | Range = "full", *, patients: Sequence[str] | None = None, size: int | None = None
    ) -> None:
        self.hu, self.window = hu, window(through)
        if len(hu.shape) != 3 or 0 in hu.shape:
            what = (
                "a volume of each signal where slices are expected: join the volumes' slices" if len(hu.shape) > 3 else "no stack of slices"
            )
            raise InvalidInput(f"expected slices (n, height, width) in Hounsfield units; got the shape {tuple(hu.shape)}, {what}.")
        n, height, width = hu.shape
        if patients is not None and len(patients) != n:
            raise InvalidInput(f"patients says of each slice whose it is; got {len(patients)} for {n} slices.")
        if size is not None and (size < 1 or height != width or height % size):
            raise InvalidInput(f"slices of {height} x {width} cannot be averaged over whole blocks down to {size} x {size}.")
        self.patients = None if patients is None else [str(patient) for patient in patients]
        self.size = size
        self.event_shape = (1, size or height, size or width)
        self._index = np.arange(n)
        _check_units(np.stack([np.asarray(hu[int(i)]) for i in np.unique(np.linspace(0, n - 1, 16).round())]))

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
        """Slices in HU from an npy or npz file (under `key`); `patients` is a list, or the name of another array of the npz file."""
        whose = read_array(path, patients).tolist() if isinstance(patients, str) else patients
        return cls(read_array(path, key), through, patients=whose, size=size)

    @classmethod
    def dicom(cls, folder: str | Path, through: str | Range = "full", *, size: int | None = None) -> Slices:
        """The slices of every DICOM series below a folder (`read_dicom`), all of one size after averaging down to `size`."""
        series = read_dicom(folder)
        parts = [(one.hu if size is None else _averaged(one.hu, size, one.name)) for one in series]
        first = parts[0].shape[1:]
        for one, part in zip(series, parts, strict=True):
            if part.shape[1:] != first:
                raise BadImage(
                    f"series {one.name} has slices of {part.shape[1]} x {part.shape[2]} and series {series[0].name} of {first[0]} x {first[1]}; "
                    "say a `size` that divides both."
                )
        patients = [one.patient for one in series for _ in range(len(one.hu))]
        return cls(np.concatenate(parts), through, patients=patients)

    @classmethod
    def lodopab(cls, folder: str | Path, part: str = "train", through: str | Range = "full", *, size: int | None = None) -> Slices:
        """The ground truth of LoDoPaB-CT: `ground_truth_{part}_*.hdf5`, 362 x 362, with the patients of `patient_ids_rand_{part}.csv` if it is there."""
        stack = _LoDoPaB(Path(folder), part)
        table = Path(folder) / f"patient_ids_rand_{part}.csv"
        patients = None
        if table.exists():
            patients = [line.strip() for line in table.read_text().splitlines() if line.strip()]
            if len(patients) < stack.shape[0]:
                raise BadImage(f"{table} says whose {len(patients)} slices are, and {stack.shape[0]} are in the folder.")
            patients = patients[: stack.shape[0]]
        return cls(stack, through, patients=patients, size=size)

    @classmethod
    def open(cls, path: str | Path, event_shape: Sequence[int], through: str | Range, *, average: bool = False) -> Slices:
        """The slices at a path, for a prior of this event shape: `read` for an npy or npz file, `lodopab` for a folder with files of one of its parts, `dicom` otherwise.

        `average` takes larger slices, and averages them over whole blocks. Raises BadImage where they do not fit the prior.
        """
        path, wanted = Path(path), tuple(event_shape)
        if len(wanted) != 3 or wanted[0] != 1:
            raise InvalidInput(f"CT slices have the shape (1, height, width) and the prior takes {wanted}; give a prior of one channel.")
        size = wanted[1] if average else None
        if path.suffix in (".npy", ".npz"):
            array = read_array(path)
            found = cls(array[:, 0] if array.ndim == 4 and array.shape[1] == 1 else array, through, size=size)
        elif parts := lodopab_parts(path):
            if len(parts) > 1:
                raise BadImage(f"{path} holds the parts {', '.join(parts)} of LoDoPaB-CT; move them to a folder each, and give one.")
            found = cls.lodopab(path, parts[0], through, size=size)
        else:
            found = cls.dicom(path, through, size=size)
        if found.event_shape != wanted:
            height, width = found.event_shape[1:]
            raise BadImage(
                f"{path} holds slices of {height} x {width} and the prior takes {wanted[1]} x {wanted[2]}; fit='resize' averages whole blocks down to it."
            )
        return found

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, i: int) -> Tensor:
        low, high = self.window
        return 2 * (self.slice(i)[None].clamp(low, high) - low) / (high - low) - 1

    def slice(self, i: int) -> Tensor:
        """Slice i in Hounsfield units, as it is: (height, width). Raises BadImage where it holds NaN or infinity."""
        number = int(self._index[i])
        hu = np.asarray(self.hu[number], np.float32)
        if not np.isfinite(hu).all():
            raise BadImage(f"slice {number} holds NaN or infinite values.")
        hu = hu if self.size is None else _averaged(hu[None], self.size, "")[0]
        return torch.from_numpy(np.ascontiguousarray(hu))

    def hounsfield(self, x_0: Tensor) -> Tensor:
        """Signals in [-1, 1], in Hounsfield units."""
        low, high = self.window
        return low + (x_0 + 1) * (high - low) / 2

    def take(self, index: Sequence[int]) -> Slices:
        """Some of the slices."""
        other: Slices = object.__new__(Slices)
        other.__dict__.update(self.__dict__)
        other._index = self._index[list(index)]
        other.patients = None if self.patients is None else [self.patients[i] for i in index]
        return other

    def split(self, fractions: Sequence[float], seed: int = 0) -> list[Slices]:
        """Sets with about these fractions of the slices, no patient in two of them; the same for the same patients and seed."""
        if self.patients is None:
            raise InvalidInput("nobody said whose the slices are; give `patients`, or split by hand with `take`.")
        return [self.take(index) for index in split_patients(self.patients, fractions, seed)]


def split_patients(patients: Sequence[str], fractions: Sequence[float], seed: int = 0) -> list[list[int]]:
    """Which slices belong to each set, with about these fractions of all slices and of all patients; every patient is in exactly one.

    Patients are shuffled, and each goes to the set that lacks most of its two shares. Raises InvalidInput where a set would be empty.
    """
    total = sum(fractions)
    if not fractions or not all(f > 0 for f in fractions) or not abs(total - 1) < 1e-6:
        raise InvalidInput(f"fractions are positive and sum to 1; got {list(fractions)}, whose sum is {total:g}.")
    slices: dict[str, list[int]] = {}
    for i, patient in enumerate(patients):
        slices.setdefault(str(patient), []).append(i)
    names = sorted(slices)
    if len(names) < len(fractions):
        raise InvalidInput(f"{len(fractions)} sets need as many patients; there are {len(names)}: {', '.join(names[:5])}.")
    generator = torch.Generator().manual_seed(seed)
    shuffled = [names[i] for i in torch.randperm(len(names), generator=generator)]
    sets: list[list[int]] = [[] for _ in fractions]
    whose = [0 for _ in fractions]
    for k, name in enumerate(
        sorted(shuffled, key=lambda name: -len(slices[name]))
    ):  # the longest series first, so that shares come out even
        lack = [2 * f - len(chosen) / len(patients) - n / len(names) for f, chosen, n in zip(fractions, sets, whose, strict=True)]
        empty = [s for s, chosen in enumerate(sets) if not chosen]
        most = empty if len(names) - k == len(empty) else range(len(sets))
        best = max(most, key=lambda s: lack[s])
        sets[best] += slices[name]
        whose[best] += 1
    return [sorted(chosen) for chosen in sets]


def holds_slices(path: str | Path) -> bool:
    """Whether a path is a DICOM file, or a folder with such files or with those of LoDoPaB-CT."""
    path = Path(path)
    if path.is_file():
        return path.suffix.lower() in _DICOM or _is_dicom(path)
    if not path.is_dir():
        return False
    some = (p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
    first = next((p for p in some if p.suffix.lower() in ("", *_DICOM)), None)
    return bool(lodopab_parts(path)) or (first is not None and (first.suffix.lower() in _DICOM or _is_dicom(first)))


def lodopab_parts(folder: Path) -> list[str]:
    """The parts of LoDoPaB-CT in a folder: train, validation, test."""
    return sorted({m[1] for p in folder.glob("ground_truth_*.hdf5") if (m := re.fullmatch(r"ground_truth_(\w+?)_\d+", p.stem))})


def _is_dicom(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(132)[128:] == b"DICM"


_DICOM = (".dcm", ".ima")


@final
@dataclass(frozen=True)
class Series:
    """One DICOM series: slices in HU, (n, height, width), in the order of their places along the patient."""

    hu: np.ndarray
    patient: str
    name: str
    spacing: tuple[float, float] | None
    """Between rows and between columns, in mm."""


def read_dicom(folder: str | Path) -> list[Series]:
    """The CT series of the DICOM files below a folder (or of one file), in the order of their patients and names.

        HU = RescaleSlope * value + RescaleIntercept

    Raises BadImage, with the file, for a file that cannot be read, without rescale tags, of another modality or unit, for a volume in one file, and for a
    series of mixed slice sizes.
    """
    path = Path(folder)
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file() and p.suffix.lower() in ("", *_DICOM))
    groups: dict[tuple[str, str], list[tuple[tuple[float, ...], Path, np.ndarray, Any]]] = {}
    for file in files:
        if file.name.upper() == "DICOMDIR" or file.name.startswith("."):
            continue
        header, hu = _read_slice(file)
        patient = str(header.get("PatientID", "") or "") or file.parent.name
        series = str(header.get("SeriesInstanceUID", "") or "") or file.parent.name
        groups.setdefault((patient, series), []).append((_place(header), file, hu, header))
    if not groups:
        raise BadImage(f"{path} holds no DICOM files (.dcm, .ima or without a suffix).")
    return [_series(patient, name, slices) for (patient, name), slices in sorted(groups.items())]


def _read_slice(file: Path) -> tuple[Any, np.ndarray]:
    pydicom = _extra("pydicom")
    try:
        header = pydicom.dcmread(file)
    except Exception as error:  # of many kinds
        raise BadImage(f"{file} is truncated or no DICOM file ({error}).") from error
    modality = str(header.get("Modality", "CT"))
    if modality != "CT":
        raise BadImage(f"{file} is of the modality {modality}; Hounsfield units are defined for CT.")
    frames = int(header.get("NumberOfFrames", 1) or 1)
    if frames > 1:
        raise BadImage(f"{file} is a volume of {frames} frames where slices are expected; export it as one file per slice.")
    missing = [tag for tag in ("RescaleSlope", "RescaleIntercept") if header.get(tag) in (None, "")]
    if missing:
        raise BadImage(
            f"{file} has no {' and no '.join(missing)}, so that its values have no unit; export the series with its rescale tags."
        )
    unit = str(header.get("RescaleType", "HU") or "HU").strip().upper()
    if unit != "HU":
        raise BadImage(f"{file} says that its values are {unit!r}; expected 'HU'. Units in a series are not mixed, nor guessed.")
    try:
        values = header.pixel_array
    except Exception as error:
        raise BadImage(f"the pixels of {file} cannot be decoded ({error}); decompress it, or install a decoder for pydicom.") from error
    if values.ndim != 2:
        raise BadImage(f"{file} holds pixels of the shape {values.shape}; expected one slice, (height, width).")
    return header, values.astype(np.float32) * float(header.RescaleSlope) + float(header.RescaleIntercept)


def _place(header: Any) -> tuple[float, ...]:
    """What slices are sorted by: the position along the normal of the slice, or the number in the series."""
    position, axes = header.get("ImagePositionPatient"), header.get("ImageOrientationPatient")
    number = float(header.get("InstanceNumber", 0) or 0)
    if position is None:
        return (0.0, number)
    normal = np.cross(np.asarray(axes[:3], float), np.asarray(axes[3:], float)) if axes is not None else np.array([0.0, 0.0, 1.0])
    return (float(np.dot(normal, np.asarray(position, float))), number)


def _series(patient: str, name: str, slices: list[tuple[tuple[float, ...], Path, np.ndarray, Any]]) -> Series:
    slices = sorted(slices, key=lambda one: (one[0], one[1].name))
    _, first_file, first, header = slices[0]
    for _, file, hu, _ in slices:
        if hu.shape != first.shape:
            raise BadImage(
                f"mixed slice sizes in the series {name} of patient {patient}: {first_file.name} is {first.shape[0]} x {first.shape[1]} and {file.name} "
                f"{hu.shape[0]} x {hu.shape[1]}; a scout image, perhaps, which belongs elsewhere."
            )
    spacing = header.get("PixelSpacing")
    return Series(
        np.stack([hu for _, _, hu, _ in slices]), patient, name, None if spacing is None else (float(spacing[0]), float(spacing[1]))
    )


@final
class _LoDoPaB:
    """The HDF5 files of one part of LoDoPaB-CT, as one stack in HU; files are opened when they are read."""

    def __init__(self, folder: Path, part: str) -> None:
        h5py = _extra("h5py")
        self.files = sorted(folder.glob(f"ground_truth_{part}_*.hdf5"), key=lambda p: int(re.findall(r"\d+", p.stem)[-1]))
        if not self.files:
            raise BadImage(f"{folder} holds no ground_truth_{part}_*.hdf5; the parts of LoDoPaB-CT are train, validation and test.")
        self.ends: list[int] = []
        sizes = set()
        for file in self.files:
            try:
                with h5py.File(file, "r") as opened:
                    shape = opened["data"].shape
            except (OSError, KeyError) as error:
                raise BadImage(f"{file} is truncated, or no HDF5 file with a data set 'data' ({error}).") from error
            if len(shape) != 3:
                raise BadImage(f"{file} holds data of the shape {shape}; expected slices (n, height, width).")
            self.ends.append(shape[0] + (self.ends[-1] if self.ends else 0))
            sizes.add(tuple(shape[1:]))
        if len(sizes) != 1:
            raise BadImage(f"{folder} mixes slices of {' and '.join(f'{h} x {w}' for h, w in sorted(sizes))}.")
        self.shape = (self.ends[-1], *sizes.pop())

    def __getitem__(self, i: int) -> np.ndarray:
        h5py = _extra("h5py")
        which = bisect.bisect_right(self.ends, i)
        with h5py.File(self.files[which], "r") as opened:
            relative = opened["data"][i - (self.ends[which - 1] if which else 0)]
        mu = np.asarray(relative, np.float32) * _LODOPAB_LARGEST
        return (mu - _LODOPAB_WATER) * (1000 / (_LODOPAB_WATER - _LODOPAB_AIR))


def _averaged(hu: np.ndarray, size: int, name: str) -> np.ndarray:
    n, height, width = hu.shape
    if height != width or height % size:
        raise BadImage(f"slices of {height} x {width} ({name}) cannot be averaged over whole blocks down to {size} x {size}.")
    return hu.astype(np.float32).reshape(n, size, height // size, size, width // size).mean((2, 4))


def _check_units(some: np.ndarray) -> None:
    """Raises InvalidInput for values that cannot be Hounsfield units."""
    if not np.issubdtype(some.dtype, np.number) or np.issubdtype(some.dtype, np.complexfloating):
        raise InvalidInput(f"expected numbers in Hounsfield units; got {some.dtype}.")
    if some.dtype == np.uint8:
        raise InvalidInput("8-bit values are no Hounsfield units; convert them, from levels that are known with levels_to_hounsfield.")
    low, high = float(some.min()), float(some.max())
    if not math.isfinite(low) or not math.isfinite(high):
        raise BadImage("the slices hold NaN or infinite values.")
    if low >= -2 and high <= 10 and high > low:
        raise InvalidInput(
            f"values in [{low:g}, {high:g}] look like attenuations, not like Hounsfield units; convert them with to_hounsfield."
        )
    if low >= 0 and high > 1000:
        raise InvalidInput(
            f"values in [{low:g}, {high:g}] have no air (-1000 HU): stored values, perhaps, without their rescale slope and intercept; convert them to HU."
        )


def _extra(name: str) -> Any:
    """A package of the extra `data`, imported."""
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError as error:
        raise InvalidInput(f"{name} is not installed; `pip install deft-diffusion[data]`, or give slices in HU as npy or npz.") from error
