"""Computed tomography: slices in Hounsfield units, from DICOM series, LoDoPaB-CT and arrays.

    HU = 1000 (mu / mu_water - 1),    x_0 = 2 (clip(HU, low, high) - low) / (high - low) - 1

The window [low, high] says what a prior's [-1, 1] means; the operator behind it takes attenuation
mu (deft.operators.hounsfield, deft.problems.Tomography). Sets are split by patient, so that no
patient is in both.
"""

from deft.data.ct.dicom import Series, read_dicom
from deft.data.ct.files import holds_slices
from deft.data.ct.lodopab import lodopab_parts
from deft.data.ct.slices import Slices
from deft.data.ct.split import split_patients
from deft.data.ct.units import (
    WINDOWS,
    display,
    levels_to_hounsfield,
    to_attenuation,
    to_hounsfield,
    window,
)

__all__ = [
    "Series",
    "Slices",
    "WINDOWS",
    "display",
    "holds_slices",
    "levels_to_hounsfield",
    "lodopab_parts",
    "read_dicom",
    "split_patients",
    "to_attenuation",
    "to_hounsfield",
    "window",
]
