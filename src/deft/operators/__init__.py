"""Forward operators, and the distributions over what differs per signal (masks, kernels)."""

from deft.operators.base import ForwardOperator, LinearOperator, SpectralOperator
from deft.operators.identity import Identity
from deft.operators.inpainting import Inpainting
from deft.operators.masks import BoxMasks, FreeFormMasks, HalfMasks, MaskFiles, Masks, RandomPixelMasks
from deft.operators.super_resolution import SuperResolution
from deft.operators.units import InUnits

__all__ = [
    "BoxMasks",
    "ForwardOperator",
    "FreeFormMasks",
    "HalfMasks",
    "Identity",
    "InUnits",
    "Inpainting",
    "LinearOperator",
    "MaskFiles",
    "Masks",
    "RandomPixelMasks",
    "SpectralOperator",
    "SuperResolution",
]
