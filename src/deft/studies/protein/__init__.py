"""Studies of backbones: rows of tables, the gate of a prior, the success of motif scaffolds."""

from deft.studies.protein.gate import Condition, Thresholds, gate, joint_success, passes
from deft.studies.protein.measured import (
    MEASURES,
    Measured,
    Natives,
    PlacedMotif,
    Row,
    evaluate_backbones,
    noisy,
)

__all__ = [
    "MEASURES",
    "Condition",
    "Measured",
    "Natives",
    "PlacedMotif",
    "Row",
    "Thresholds",
    "evaluate_backbones",
    "gate",
    "joint_success",
    "noisy",
    "passes",
]
