"""Designs in the order of what is wrong with them."""

import numpy as np
import pytest
import torch

from deft.data.proteins import MotifProblem, Residue, Scaffold, Segment
from deft.metrics.protein.traces import stacked
from deft.studies.protein.ranked import DESIGN_MEASURES, design_measures, faults, ranked
from tests.data.proteins.made import helix

PERFECT = {
    "motif_rmsd": 0.0,
    "junction_bonds": 1.0,
    "bonds": 1.0,
    "bends": 1.0,
    "clashes": 0.0,
    "left_handed": 0.0,
    "helix": 0.3,
    "strand": 0.1,
    "radius_ratio": 1.05,
}


def problem():
    residues = tuple(Residue("A", 5 + i, "", "LEU", {"CA": p}) for i, p in enumerate(helix(8)))
    return MotifProblem("MADE", (Scaffold(4, 8), Segment(residues), Scaffold(4, 8)))


@pytest.mark.parametrize(
    ("key", "value", "more"),
    [
        ("motif_rmsd", 0.4, 0.4),
        ("motif_rmsd", 7.0, 1.0),
        ("junction_bonds", 0.5, 0.5),
        ("bonds", 0.9, 0.1),
        ("bends", 0.75, 0.25),
        ("clashes", 0.2, 0.2),
        ("left_handed", 0.1, 0.1),
        ("helix", 0.1, 0.5),
        ("radius_ratio", 1.3, 0.2),
        ("radius_ratio", 0.7, 0.2),
        ("entropy", 9.0, 0.0),
        ("cross_likelihood", 9.0, 0.0),
    ],
)
def test_each_fault_counts_and_the_judge_does_not(key, value, more):
    assert faults(PERFECT) == 0.0
    assert faults({**PERFECT, key: value}) == pytest.approx(more)


def test_a_motif_without_rmsd_or_junctions_has_none_of_their_faults():
    assert faults({k: v for k, v in PERFECT.items() if k[:2] not in ("mo", "ju")}) == 0.0


def test_fewest_faults_first_and_ties_keep_their_order():
    rows = [{"faults": value} for value in (0.3, 0.1, 0.3, 0.0)]
    assert ranked(rows) == [3, 1, 0, 2]


def test_a_helix_through_the_motif_is_better_than_a_broken_one():
    layouts = [problem().sample_layout(seed) for seed in (0, 1)]
    good, broken = (np.array(helix(layout.length)) for layout in layouts)
    broken[layouts[1].index] += 2.0
    x, mask = stacked([torch.from_numpy(good), torch.from_numpy(broken)])
    first, second = design_measures(x, mask, layouts)
    assert first["motif_rmsd"] == pytest.approx(0.0, abs=1e-6)
    assert first["junction_bonds"] == 1.0
    assert second["motif_rmsd"] == pytest.approx(0.0, abs=1e-6)
    assert second["junction_bonds"] == 0.0
    assert first["faults"] < second["faults"]
    assert {measure.key for measure in DESIGN_MEASURES} - set(first) == {
        "entropy",
        "cross_likelihood",
    }
    r = good - good.mean(0)
    assert first["radius"] == pytest.approx(float(np.sqrt((r**2).sum(1).mean())))
