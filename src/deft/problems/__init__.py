"""Problems: distributions over operators and noise levels, from which training and tests draw their
observations; and the distributions over what differs per signal (masks, kernels).
"""

from deft.problems.base import Problem
from deft.problems.cards import from_card
from deft.problems.free_form_masks import FreeFormMasks
from deft.problems.kernels import GaussianKernels, Kernels, MotionKernels
from deft.problems.linear import (
    MRI,
    Colourisation,
    Deblurring,
    Denoising,
    Inpainting,
    SuperResolution,
)
from deft.problems.masks import (
    BoxMasks,
    CartesianMasks,
    HalfMasks,
    MaskFiles,
    Masks,
    RandomPixelMasks,
    RowMasks,
)
from deft.problems.mixture import AnyOf, RandomProjections
from deft.problems.motif import MotifScaffolding
from deft.problems.multi_coil_mri import MultiCoilMRI
from deft.problems.nonlinear import (
    JPEG,
    HighDynamicRange,
    NonlinearBlur,
    PhaseRetrieval,
    PoissonPhaseRetrieval,
)
from deft.problems.own import BlackBox, Fixed
from deft.problems.tomography import Tomography
from deft.storage.cards import card_of

__all__ = [
    "AnyOf",
    "BlackBox",
    "BoxMasks",
    "CartesianMasks",
    "Colourisation",
    "Deblurring",
    "Denoising",
    "Fixed",
    "FreeFormMasks",
    "GaussianKernels",
    "HalfMasks",
    "HighDynamicRange",
    "Inpainting",
    "JPEG",
    "Kernels",
    "MRI",
    "MaskFiles",
    "Masks",
    "MotifScaffolding",
    "MotionKernels",
    "MultiCoilMRI",
    "NonlinearBlur",
    "PhaseRetrieval",
    "PoissonPhaseRetrieval",
    "Problem",
    "RandomPixelMasks",
    "RandomProjections",
    "RowMasks",
    "SuperResolution",
    "Tomography",
    "card_of",
    "from_card",
]
