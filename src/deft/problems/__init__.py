"""Problems: distributions over operators and noise levels, from which training and tests draw their
observations.
"""

from deft.problems.base import Problem
from deft.problems.cards import from_card
from deft.problems.deepinv import Deepinv, observation_from_deepinv
from deft.problems.linear import MRI, Deblurring, Denoising, Inpainting, SuperResolution
from deft.problems.nonlinear import (
    HighDynamicRange,
    NonlinearBlur,
    PhaseRetrieval,
    PoissonPhaseRetrieval,
)
from deft.problems.own import BlackBox, Fixed
from deft.problems.tomography import Tomography
from deft.storage.cards import card_of

__all__ = [
    "MRI",
    "BlackBox",
    "Deblurring",
    "Deepinv",
    "Denoising",
    "Fixed",
    "HighDynamicRange",
    "Inpainting",
    "NonlinearBlur",
    "PhaseRetrieval",
    "PoissonPhaseRetrieval",
    "Problem",
    "SuperResolution",
    "Tomography",
    "card_of",
    "from_card",
    "observation_from_deepinv",
]
