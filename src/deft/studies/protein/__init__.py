"""Studies of backbones: rows of tables, the gate of a prior, the success of motif scaffolds."""

from deft.studies.protein.external import Folder, InverseFolder
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
from deft.studies.protein.refolding import DesignMotif, Refolded, refold

__all__ = [
    "MEASURES",
    "Condition",
    "DesignMotif",
    "Folder",
    "InverseFolder",
    "Measured",
    "Natives",
    "PlacedMotif",
    "Refolded",
    "Row",
    "Thresholds",
    "evaluate_backbones",
    "gate",
    "joint_success",
    "noisy",
    "passes",
    "refold",
]
