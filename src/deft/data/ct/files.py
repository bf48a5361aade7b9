"""Which files are DICOM files: by their content, whatever they are called.

A DICOM file has "DICM" at byte 128; older ones begin with their first element, of group 0002 or
0008.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import final

from deft.data.ct.lodopab import lodopab_parts
from deft.errors import BadImage, DeftError

_DICOM = (".dcm", ".ima", ".dicom")
_OTHERS = frozenset(
    [
        ".png",
        ".jpg",
        ".jpeg",
        ".jfif",
        ".webp",
        ".bmp",
        ".tif",
        ".tiff",
        ".gif",
        ".ppm",
        ".pgm",
        ".avif",
        ".npy",
        ".npz",
        ".hdf5",
        ".h5",
        ".nii",
        ".gz",
        ".zip",
        ".tar",
        ".pdf",
        ".txt",
        ".md",
        ".csv",
        ".tsv",
        ".xls",
        ".xlsx",
        ".json",
        ".yaml",
        ".yml",
        ".xml",
        ".html",
        ".htm",
        ".ini",
        ".inf",
        ".exe",
        ".dll",
        ".py",
        ".pt",
        ".safetensors",
        ".mhd",
        ".raw",
        ".nrrd",
        ".mp4",
    ]
)
"""Suffixes that no DICOM file has, so that a folder of a million images is not opened to look for
one.
"""


@final
class Unreadable(BadImage):
    """A file that is damaged, which can be left out."""


@contextmanager
def sound(file: Path) -> Iterator[None]:
    """Within the block, any error of a decoder means that the file is damaged."""
    try:
        yield
    except (DeftError, MemoryError):
        raise
    except Exception as error:  # of many kinds
        raise Unreadable(
            f"{file} is truncated or damaged ({' '.join(str(error).split())[:200]})."
        ) from error


def files_below(path: Path) -> list[Path]:
    """The files below a folder (or the one file) in the order of their names, without hidden ones
    and those in hidden folders.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise BadImage(f"{path} does not exist.")
    return sorted(_visible(path))


def _visible(folder: Path) -> Iterator[Path]:
    for file in folder.rglob("*"):
        if file.is_file() and not any(
            part.startswith(".") for part in file.relative_to(folder).parts
        ):
            yield file


def is_index(file: Path) -> bool:
    """Whether a file is the index of a disc of DICOM files, which holds no images."""
    return file.stem.upper() == "DICOMDIR"


def has_mark(file: Path) -> bool:
    """Whether "DICM" stands at byte 128."""
    return _beginning(file)[128:] == b"DICM"


def may_be_dicom(file: Path) -> bool:
    """Whether a file says that it is a DICOM file, by its content or by its suffix, or may be one
    without the mark.
    """
    if file.suffix.lower() in _DICOM:
        return True
    if file.suffix.lower() in _OTHERS:
        return False
    beginning = _beginning(file)
    return (
        beginning[128:] == b"DICM"
        or beginning[:8] in _GROUP_LENGTHS
        or beginning[:4] in (_VERSION, *_FIRST_ELEMENTS)
    )


_GROUP_LENGTHS = tuple(
    bytes((group, 0, 0, 0)) + length for group in (2, 8) for length in (b"UL\4\0", b"\4\0\0\0")
)
_VERSION = b"\2\0\1\0"
_FIRST_ELEMENTS = tuple(
    bytes((8, 0, element, 0)) for element in (5, 8, 0x10, 0x12, 0x13, 0x16, 0x18, 0x20)
)


def _beginning(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(132)
    except OSError as error:
        raise Unreadable(f"{file} cannot be read ({error.strerror or error}).") from error


def holds_slices(path: str | Path) -> bool:
    """Whether a path is a DICOM file, or a folder with such files or with those of LoDoPaB-CT."""
    path = Path(path)
    if path.is_file():
        return _seems_dicom(path)
    if not path.is_dir():
        return False
    return bool(lodopab_parts(path)) or any(
        _seems_dicom(file) for file in _visible(path) if not is_index(file)
    )


def _seems_dicom(file: Path) -> bool:
    """`may_be_dicom`, of a file that may be locked."""
    try:
        return may_be_dicom(file)
    except Unreadable:
        return False
