"""Designs around a motif, each with its measures, and their order by plausibility.

    faults = min(motif RMSD, 1) + (1 - junction bonds) + (1 - bonds) + (1 - bends) + clashes
             + left-handed + max(0.4 - helix - strand, 0) / 0.4 + max(|radius ratio - 1| - 0.1, 0)

in angstrom and shares of residues; the radius ratio is the radius of gyration over 2.2 n^0.38
angstrom, that of compact chains. Fewer faults come first. The learned judge has no say in it: who
chooses by a judge has none left.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from deft.data.proteins import Layout, stacked_motifs
from deft.metrics.protein.geometry import compact_radius, radius_of_gyration
from deft.metrics.protein.judge import ProteinJudge
from deft.metrics.protein.superposition import HELD
from deft.metrics.protein.traces import Present, Trace, lengths
from deft.studies.protein.measured import MEASURES, PlacedMotif, evaluate_backbones
from deft.studies.scores import Measure

RADIUS = Measure("radius", "Radius of gyration", "Å", "none", 1)
COMPACT = Measure("radius_ratio", "Radius / that of compact chains", "", "one", 2)
FAULTS = Measure("faults", "Faults", "", "lower", 2)
_KEYS = (
    "motif_rmsd",
    "junction_bonds",
    "junction_bends",
    "bonds",
    "bends",
    "clashes",
    "motif_clashes",
    "helix",
    "strand",
    "left_handed",
    "entropy",
    "cross_likelihood",
)
_BY_KEY = {measure.key: measure for measure in MEASURES}
DESIGN_MEASURES = (FAULTS, *(_BY_KEY[key] for key in _KEYS), RADIUS, COMPACT)
"""What is measured of each design; the last two of `_KEYS` where a judge is."""
_STRUCTURE, _COMPACT = 0.4, 0.1


def design_measures(
    x: Trace, mask: Present, layouts: Sequence[Layout], judge: ProteinJudge | None = None
) -> list[dict[str, float]]:
    """The measures of each design, by key; those that a design has not (the junctions of a motif
    that is the whole chain, the RMSD of single residues) are left out.
    """
    motif = PlacedMotif(*stacked_motifs(layouts))
    found = evaluate_backbones("designs", x, mask, motif=motif, judge=judge, pairs=False)
    values = {key: found.values[key] for key in _KEYS if key in found.values}
    values["radius"] = radius_of_gyration(x, mask).cpu()
    values["radius_ratio"] = values["radius"] / compact_radius(lengths(mask)).cpu()
    rows = []
    for i in range(len(layouts)):
        row = {key: float(value[i]) for key, value in values.items()}
        row = {key: value for key, value in row.items() if math.isfinite(value)}
        rows.append({"faults": faults(row), **row})
    return rows


def faults(row: Mapping[str, float]) -> float:
    """How much is wrong with a design, 0 for nothing; the judge's numbers are not looked at."""
    structure = row["helix"] + row["strand"]
    return (
        min(row.get("motif_rmsd", 0.0), HELD)
        + sum(1 - row.get(key, 1.0) for key in ("junction_bonds", "bonds", "bends"))
        + row["clashes"]
        + row["left_handed"]
        + max(_STRUCTURE - structure, 0) / _STRUCTURE
        + max(abs(row["radius_ratio"] - 1) - _COMPACT, 0)
    )


def ranked(rows: Sequence[Mapping[str, float]]) -> list[int]:
    """The places of the designs, the one with the fewest faults first."""
    return sorted(range(len(rows)), key=lambda i: (rows[i]["faults"], i))
