"""Forward operators, and the kernels of blurs."""

from deft.operators.base import ForwardOperator, LinearOperator, SpectralOperator
from deft.operators.blur import Blur, CircularBlur, ReflectBlur
from deft.operators.callable import CallableOperator
from deft.operators.colourisation import Colourisation
from deft.operators.high_dynamic_range import HighDynamicRange
from deft.operators.identity import Identity
from deft.operators.inpainting import Inpainting
from deft.operators.jpeg import JPEG
from deft.operators.kernels import gaussian_kernel, motion_kernel
from deft.operators.matrix import Matrix
from deft.operators.mixed import Mixed
from deft.operators.motif import AlignedMotif, FixedMotif, Motif
from deft.operators.mri import MRI
from deft.operators.multi_coil_mri import MultiCoilMRI
from deft.operators.nonlinear_blur import NonlinearBlur
from deft.operators.phase_retrieval import PhaseRetrieval
from deft.operators.super_resolution import SuperResolution
from deft.operators.tomography import Tomography, views
from deft.operators.transmission import Transmission
from deft.operators.units import InUnits, hounsfield

__all__ = [
    "AlignedMotif",
    "Blur",
    "CallableOperator",
    "CircularBlur",
    "Colourisation",
    "FixedMotif",
    "ForwardOperator",
    "HighDynamicRange",
    "Identity",
    "InUnits",
    "Inpainting",
    "JPEG",
    "LinearOperator",
    "MRI",
    "Matrix",
    "Mixed",
    "Motif",
    "MultiCoilMRI",
    "NonlinearBlur",
    "PhaseRetrieval",
    "ReflectBlur",
    "SpectralOperator",
    "SuperResolution",
    "Tomography",
    "Transmission",
    "gaussian_kernel",
    "hounsfield",
    "motion_kernel",
    "views",
]
