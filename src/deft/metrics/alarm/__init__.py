"""The mismatch alarm: is this answer like those to measurements where all is as told?"""

from deft.metrics.alarm.measure import measure, reference
from deft.metrics.alarm.noise_level import NoiseLevel, estimate_sigma_y
from deft.metrics.alarm.reference import REFERENCE, Reference
from deft.metrics.alarm.residual import residual_statistics
from deft.metrics.alarm.verdict import Verdict

__all__ = [
    "REFERENCE",
    "NoiseLevel",
    "Reference",
    "Verdict",
    "estimate_sigma_y",
    "measure",
    "reference",
    "residual_statistics",
]
