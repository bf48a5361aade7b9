"""Clean signals from files, and samples into files."""

from deft.data.arrays import Arrays, convert_range, read_array, to_uint8, write_npz
from deft.data.ct import Slices, read_dicom, split_patients
from deft.data.images import ImageFolder, open_images, write_png
from deft.storage.atomic import atomic

__all__ = [
    "Arrays",
    "ImageFolder",
    "Slices",
    "atomic",
    "convert_range",
    "open_images",
    "read_array",
    "read_dicom",
    "split_patients",
    "to_uint8",
    "write_npz",
    "write_png",
]
