"""Plausibility of C-alpha traces, without downloaded weights.

These measures say whether a design looks like a protein, never whether a sequence folds into it.
"""

from deft.metrics.protein.alignment import aligned_tm_score
from deft.metrics.protein.fragments import fragment_coverage
from deft.metrics.protein.geometry import (
    bends,
    bends_in_range,
    bond_lengths,
    bond_spread,
    bonds,
    cis_bonds,
    clashes,
    compact_radius,
    junctions,
    motif_clashes,
    radius_of_gyration,
    radius_ratio,
    torsions,
)
from deft.metrics.protein.secondary import Structure, handedness, secondary_structure
from deft.metrics.protein.sets import clusters, diversity, nearest_tm_score, pairwise_tm_score
from deft.metrics.protein.superposition import lddt, motif_rmsd, rmsd
from deft.metrics.protein.tm_score import tm_score
from deft.metrics.protein.traces import Present, Trace, stacked

__all__ = [
    "Present",
    "Structure",
    "Trace",
    "aligned_tm_score",
    "bends",
    "bends_in_range",
    "bond_lengths",
    "bond_spread",
    "bonds",
    "cis_bonds",
    "clashes",
    "clusters",
    "compact_radius",
    "diversity",
    "fragment_coverage",
    "handedness",
    "junctions",
    "lddt",
    "motif_clashes",
    "motif_rmsd",
    "nearest_tm_score",
    "pairwise_tm_score",
    "radius_of_gyration",
    "radius_ratio",
    "rmsd",
    "secondary_structure",
    "stacked",
    "tm_score",
    "torsions",
]
